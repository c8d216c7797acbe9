/* Has a file open without sharing it until its own input ends, as other programs of Windows do: companion FILE */
#include <stdio.h>
#include <wchar.h>
#include <windows.h>

int wmain(int count, WCHAR **arguments)
{
    char byte;
    DWORD len;
    HANDLE file;
    if (count != 2) {
        fprintf(stderr, "companion: FILE\n");
        return 2;
    }
    file = CreateFileW(arguments[1], GENERIC_READ, 0, NULL, OPEN_EXISTING, 0, NULL);
    if (file == INVALID_HANDLE_VALUE) {
        fprintf(stderr, "companion: the file cannot be opened: error %lu\n", GetLastError());
        return 1;
    }
    printf("held\n");
    fflush(stdout);
    while (ReadFile(GetStdHandle(STD_INPUT_HANDLE), &byte, 1, &len, NULL) && len > 0)
        ;
    CloseHandle(file);
    return 0;
}
