/*
 * bcryptprimitives.dll for a Wine older than 9, which lacks it. Windows programs since 2024 import one function of it,
 * which returns random bytes.
 */
#include <windows.h>

/* advapi32.dll has RtlGenRandom under this name. */
BOOLEAN NTAPI SystemFunction036(PVOID buffer, ULONG length);

#define PART 65536

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T length) {
  while (length > 0) {
    ULONG part = length > PART ? PART : (ULONG)length;
    if (!SystemFunction036(data, part)) return FALSE;
    data += part;
    length -= part;
  }
  return TRUE;
}
