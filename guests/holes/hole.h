/*
 * What the demonstrations of IA-32's holes share: each runs one instruction as a kernel at CPL 0 would, and compares what
 * it sees with what the manual promises there.
 * Invariant: on a bare machine every line ends with "same". A deprivileged kernel sees what is really there.
 * Source: Robin & Irvine, USENIX Security 2000, table 2; SDM vol 2, the instruction's own page.
 */
#ifndef HOLE_H
#define HOLE_H

#include "../lib/guest.h"

#define HOLE(name) const char guest_name[] = name

/* Prints `instruction: what: expected a, seen b, verdict`, in hex. */
static inline void check(const char *what, u32 expected, u32 seen)
{
    print("%s: %s: expected %x, seen %x, %s\n", guest_name, what, expected, seen, expected == seen ? "same" : "differs");
}

/* As the result of attempt(): did the instruction fault, and with which error code? 0: it did not. */
static inline u32 fault_of(u32 result) { return result == 0 ? 0 : (result & 0xFF) << 16 | (fault_error & 0xFFFF); }
#define GP_OF(selector) (13u << 16 | ((selector) & 0xFFFC))

#endif
