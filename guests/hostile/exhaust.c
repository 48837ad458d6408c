/*
 * Makes more page tables than a VMM wants to shadow: hundreds of address spaces, each with tables of its own, used in turn
 * and in a random order, rewritten while they are in use and while they are not, and turned into data and back.
 */
#include "hostile.h"
HOSTILE("hostile-exhaust");

#define SPACES 160u
#define TABLES 4u /* for each of them */
#define BASE 0x400000u /* a directory and its tables: 5 frames a space */

static u32 seed = 0x0BADF00D;

static u32 space(u32 n) { return BASE + n * (1 + TABLES) * 4096; }

static void make(u32 n)
{
    volatile u32 *own = at(space(n));

    own[0] = (u32)low_table | PRESENT | WRITABLE;
    own[1] = directory[1];
    for (u32 t = 0; t < TABLES; t++) {
        own[16 + t * 64] = (space(n) + (1 + t) * 4096) | PRESENT | WRITABLE;
        for (u32 i = 0; i < 4; i++)
            own[1024 * (1 + t) + i * 200] = (BASE + (SPACES * 5 + (n * 16 + t * 4 + i) % 64) * 4096) | PRESENT | WRITABLE;
    }
}

void guest(void)
{
    u32 sum = 0;

    map_low(PRESENT | WRITABLE);
    directory[1] = BASE | PRESENT | WRITABLE | LARGE;
    for (u32 n = 0; n < SPACES; n++) make(n);
    paging_on();
    for (u32 turn = 0; turn < 600; turn++) {
        u32 n = turn < SPACES ? turn : next_random(&seed) % SPACES;

        write_cr3(space(n));
        for (u32 t = 0; t < TABLES; t++)
            for (u32 i = 0; i < 4; i++) {
                u32 address = (16 + t * 64) << 22 | (i * 200) << 12 | 0x10;

                sum = mix(sum, attempt(try_read, address));
                sum = mix(sum, got);
                *at(address) = sum;
            }
        if (turn % 7 == 3) make(next_random(&seed) % SPACES);
        if (turn % 5 == 1) { /* an entry of the space in use goes, then comes back */
            u32 entry = space(n) + 4096 + 200 * 4, before = *at(entry);

            *at(entry) = 0;
            invlpg(16 << 22 | 200 << 12);
            sum = mix(sum, attempt(try_read, 16 << 22 | 200 << 12));
            *at(entry) = before;
        }
    }
    write_cr3((u32)directory);
    paging_off();
    tell("results", sum);
    for (u32 n = 0; n < SPACES * 5; n++)
        for (u32 i = 0; i < 1024; i += 8) sum = mix(sum, at(BASE + n * 4096)[i]);
    tell("tables", sum);
}
