/*
 * Changes code under the feet of whatever translates or caches it: the next instruction, its own page, through another
 * mapping, by a string instruction, across a page border, in a frame that is a page table in use.
 */
#include "hostile.h"
HOSTILE("hostile-smc");

static u8 pages[4][4096] __attribute__((aligned(4096)));
static u32 window[1024] __attribute__((aligned(4096)));
static u32 answer;

static void call_it(u32 address) { __asm__ volatile("call *%1" : "=a"(answer) : "r"(address) : "ecx", "edx", "memory"); }

/* mov eax, value; ret */
static void plant(volatile u8 *where, u32 value)
{
    where[0] = 0xB8;
    for (u32 i = 0; i < 4; i++) where[1 + i] = value >> 8 * i;
    where[5] = 0xC3;
}

/* Each turn the first instruction changes the immediate operand of the one right behind it. */
static u32 next_instruction(void)
{
    u32 sum = 0;

    for (u32 turn = 0; turn < 200; turn++) {
        u32 seen;

        __asm__ volatile("movl %1, 1f + 1\n1:\tmovl $0, %%eax" : "=a"(seen) : "r"(turn * 3) : "memory");
        sum = mix(sum, seen);
    }
    return sum;
}

void guest(void)
{
    u32 sum = next_instruction();

    tell("the next instruction", sum);
    sum = 0;
    for (u32 turn = 0; turn < 100; turn++) {
        plant(pages[0] + turn, turn * 5);
        sum = mix(sum, attempt(call_it, (u32)pages[0] + turn));
        sum = mix(sum, answer);
        plant(pages[0] + 4093, turn); /* across the border */
        sum = mix(sum, attempt(call_it, (u32)pages[0] + 4093));
        sum = mix(sum, answer);
    }
    tell("own pages", sum);

    map_low(PRESENT | WRITABLE);
    directory[4] = (u32)window | PRESENT | WRITABLE;
    paging_on();
    sum = 0;
    for (u32 turn = 0; turn < 100; turn++) {
        u32 there = 4 << 22 | (turn % 16) << 12;
        u32 to = there + 0x100, from = (u32)pages[3], count = 6;

        window[turn % 16] = (u32)pages[turn % 2 + 1] | PRESENT | WRITABLE;
        invlpg(there);
        plant((u8 *)there + 0x100, turn * 7); /* another mapping of a page that ran before */
        sum = mix(sum, attempt(call_it, (u32)pages[turn % 2 + 1] + 0x100));
        sum = mix(sum, answer);
        plant(pages[3], turn * 9);
        __asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
        sum = mix(sum, attempt(call_it, there + 0x100));
        sum = mix(sum, answer);
    }
    tell("another mapping", sum);

    sum = 0;
    for (u32 turn = 0; turn < 60; turn++) { /* the window's own table, its upper half used as code */
        window[17] = (u32)window | PRESENT | WRITABLE;
        invlpg(4 << 22 | 17 << 12);
        plant((u8 *)(4 << 22 | 17 << 12) + 0xC00 + turn % 4 * 8, turn * 11);
        sum = mix(sum, attempt(call_it, (4 << 22 | 17 << 12) + 0xC00 + turn % 4 * 8));
        sum = mix(sum, answer);
        plant((u8 *)window + 0xC00 + turn % 4 * 8, turn * 13);
        sum = mix(sum, attempt(call_it, (u32)window + 0xC00 + turn % 4 * 8));
        sum = mix(sum, answer);
    }
    tell("a page table", sum);

    sum = 0;
    for (u32 turn = 0; turn < 60; turn++) { /* the page of the second half of an instruction changes */
        window[0] = (u32)pages[0] | PRESENT | WRITABLE;
        window[1] = (u32)pages[turn % 3 + 1] | PRESENT | WRITABLE;
        write_cr3((u32)directory);
        plant((u8 *)(4 << 22) + 4094, turn * 17);
        sum = mix(sum, attempt(call_it, (4 << 22) + 4094));
        sum = mix(sum, answer);
    }
    paging_off();
    tell("half an instruction", sum);
}
