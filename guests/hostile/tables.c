/*
 * Forges page tables: random directories and tables that name its own frames, the tables themselves, frames beyond RAM
 * and reserved bits; then reads, writes and jumps through them in ring 0 and in ring 3.
 */
#include "hostile.h"
HOSTILE("hostile-tables");

#define POOL 0x400000u /* frames that the tables may name: 64 of them */
#define TABLES 0x500000u /* the forged directory, then 7 tables */

static u32 seed = 0x2545F491;

static u32 any_frame(void)
{
    u32 roll = next_random(&seed);

    switch (roll % 8) {
    case 0: return TABLES + (roll >> 8) % 8 * 4096;
    case 1: return 0x40000000 + ((roll << 4) & 0x3FFFF000); /* beyond RAM */
    case 2: return TOP + ((roll >> 8) % 1024) * 4096;
    default: return POOL + (roll >> 8) % 64 * 4096;
    }
}

static void forge(void)
{
    volatile u32 *words = at(TABLES);

    for (u32 i = 1024; i < 8 * 1024; i++) words[i] = 0;
    for (u32 i = 1; i < 1024; i++) words[i] = 0;
    words[0] = (u32)low_table | PRESENT | WRITABLE | USER;
    for (u32 i = 0; i < 96; i++) {
        u32 roll = next_random(&seed);
        u32 to = roll % 4 == 0 ? any_frame() : TABLES + (1 + roll % 7) * 4096;

        words[1 + (i * 37 + roll % 3) % 1023] = to | ((roll >> 8) & 0xE7F);
    }
    words[1023] = (TABLES + 4096) | PRESENT | WRITABLE | USER;
    for (u32 i = 0; i < 2000; i++) {
        u32 roll = next_random(&seed);

        words[1024 + roll % (7 * 1024)] = any_frame() | ((roll >> 16) & 0xE7F) | PRESENT;
    }
}

static u32 any_address(void)
{
    u32 roll = next_random(&seed);
    u32 entry = 1 + (roll % 96 * 37 + (roll >> 8) % 3) % 1023;

    if (roll % 16 == 0) entry = 1023;
    return entry << 22 | (next_random(&seed) & 0x3FFFFC);
}

void guest(void)
{
    u32 sum = 0;

    for (u32 page = 0; page < 1024; page++) low_table[page] = page << 12 | PRESENT | WRITABLE | USER;
    for (u32 i = 0; i < 64 * 1024; i++) at(POOL)[i] = i << 8 | 0xCC; /* as code: INT3 */
    for (u32 round = 0; round < 24; round++) {
        paging_off();
        forge();
        write_cr3(TABLES);
        write_cr4((round & 1) != 0 ? CR4_PSE : 0);
        write_cr0(CR0_PE | CR0_ET | CR0_PG | ((round & 2) != 0 ? CR0_WP : 0));
        for (u32 turn = 0; turn < 120; turn++) {
            u32 address = any_address(), result;

            write_cr3(TABLES);
            if ((next_random(&seed) & 1) != 0) result = attempt(turn % 3 == 0 ? try_write : try_read, address);
            else result = attempt_user(turn % 3 == 0 ? user_write : user_read, address, 0x200000);
            sum = mix(mix(sum, result), result == 0 ? got : fault_error);
            if (result == PF) sum = mix(sum, fault_address);
        }
        sum = mix(sum, attempt(try_jump, any_address() | TOP));
    }
    paging_off();
    tell("results", sum);
    for (u32 i = 0; i < 64 * 1024; i++) sum = mix(sum, at(POOL)[i]);
    tell("frames", sum);
    tell("exceptions", faults);
}
