/*
 * Keeps a VMM busy with nothing: exceptions of every kind, software interrupts, loads of control registers, INVLPG, CLI and
 * STI, paging on and off, ring 3 and back, thousands of each.
 */
#include "hostile.h"
HOSTILE("hostile-storm");

#define TURNS 400u

static void undefined(u32 n) { (void)n; __asm__ volatile("ud2"); }
static void divide(u32 n) { __asm__ volatile("xorl %%ecx, %%ecx\n\tdivl %%ecx" : "+a"(n) : : "ecx", "edx", "cc"); }
static void protection(u32 n) { __asm__ volatile("movl %0, %%fs" : : "r"(0xFFF0 - n % 64 * 8)); }
static void breakpoint(u32 n) { (void)n; __asm__ volatile("int3"); }
static void call_gate(u32 n) { (void)n; __asm__ volatile("int $0x80" : : : "memory"); }
static void user_nothing(u32 n) { (void)n; user_end(); }
static void user_undefined(u32 n) { (void)n; __asm__ volatile("ud2"); }
static void user_cli(u32 n) { (void)n; __asm__ volatile("cli"); }

static void (*const kernel[])(u32) = {undefined, divide, protection, breakpoint, call_gate, try_read, try_write, try_jump};
static void (*const user[])(u32) = {user_nothing, user_undefined, user_cli, user_read, user_write};

void guest(void)
{
    u32 sum = 0;

    map_low(PRESENT | WRITABLE | USER);
    paging_on();
    for (u32 turn = 0; turn < TURNS; turn++)
        for (u32 k = 0; k < 8; k++) sum = mix(sum, attempt(kernel[k], 0x40000000 + turn * 0x10000));
    tell("exceptions of the kernel", sum);
    sum = 0;
    for (u32 turn = 0; turn < TURNS; turn++)
        for (u32 k = 0; k < 5; k++) sum = mix(sum, attempt_user(user[k], 0x40000000 + turn * 0x10000, 0x200000));
    tell("exceptions of ring 3", sum);
    for (u32 turn = 0; turn < TURNS; turn++) {
        write_cr3((u32)directory);
        invlpg(turn << 12);
        write_cr4((turn & 1) != 0 ? CR4_PSE | CR4_PGE : CR4_PSE);
        write_cr0(CR0_PE | CR0_ET | CR0_PG | ((turn & 2) != 0 ? CR0_WP : 0));
        sti();
        cli();
        if ((turn & 3) == 3) {
            paging_off();
            paging_on();
        }
    }
    paging_off();
    tell("exceptions", faults);
}
