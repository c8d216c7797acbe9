/*
 * What a person or another program does on Windows while coracle runs.
 *
 *   companion interrupt COMMAND...   runs it in a console, and presses Ctrl-Break there when its own input ends
 *   companion hold FILE              has a file open without sharing it until its own input ends
 */
#include <stdio.h>
#include <string.h>
#include <wchar.h>
#include <windows.h>

static void wait_for_the_end_of_input(void)
{
    char byte;
    DWORD len;
    while (ReadFile(GetStdHandle(STD_INPUT_HANDLE), &byte, 1, &len, NULL) && len > 0)
        ;
}

static DWORD WINAPI press(LPVOID group)
{
    wait_for_the_end_of_input();
    GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, *(DWORD *)group);
    return 0;
}

static BOOL WINAPI ignore(DWORD event)
{
    (void)event;
    return TRUE;
}

static int interrupt(WCHAR *command)
{
    STARTUPINFOW startup = {.cb = sizeof startup, .dwFlags = STARTF_USESTDHANDLES};
    PROCESS_INFORMATION process;
    DWORD code = 1;
    AllocConsole();
    SetConsoleCtrlHandler(ignore, TRUE);
    startup.hStdOutput = GetStdHandle(STD_OUTPUT_HANDLE);
    startup.hStdError = GetStdHandle(STD_ERROR_HANDLE);
    if (!CreateProcessW(NULL, command, NULL, NULL, TRUE, CREATE_NEW_PROCESS_GROUP, NULL, NULL, &startup, &process)) {
        fprintf(stderr, "companion: the command cannot be started: error %lu\n", GetLastError());
        return 1;
    }
    CreateThread(NULL, 0, press, &process.dwProcessId, 0, NULL);
    WaitForSingleObject(process.hProcess, INFINITE);
    GetExitCodeProcess(process.hProcess, &code);
    return (int)code;
}

static int hold(const WCHAR *path)
{
    HANDLE file = CreateFileW(path, GENERIC_READ, 0, NULL, OPEN_EXISTING, 0, NULL);
    if (file == INVALID_HANDLE_VALUE) {
        fprintf(stderr, "companion: the file cannot be opened: error %lu\n", GetLastError());
        return 1;
    }
    printf("held\n");
    fflush(stdout);
    wait_for_the_end_of_input();
    CloseHandle(file);
    return 0;
}

int wmain(int count, WCHAR **arguments)
{
    if (count >= 3 && wcscmp(arguments[1], L"hold") == 0)
        return hold(arguments[2]);
    if (count >= 3 && wcscmp(arguments[1], L"interrupt") == 0) {
        /* What stands behind the word, as it was given. */
        WCHAR *command = wcsstr(GetCommandLineW(), L"interrupt ");
        return interrupt(command + wcslen(L"interrupt "));
    }
    fprintf(stderr, "companion: interrupt COMMAND, or hold FILE\n");
    return 2;
}
