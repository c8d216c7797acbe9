/* The library of Windows 10 that programs of Rust take random bytes from, and that wine has only from version 8.13 on. */
#include <windows.h>

BOOLEAN WINAPI SystemFunction036(PVOID bytes, ULONG len);

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T len)
{
    while (len > 0) {
        ULONG piece = len > 0x10000000 ? 0x10000000 : (ULONG)len;
        if (!SystemFunction036(bytes, piece))
            return FALSE;
        bytes += piece;
        len -= piece;
    }
    return TRUE;
}
