/*
 * Uses the top 4 MiB of the linear address space, where a VMM may hide, as a kernel of its own would: maps frames there,
 * reads, writes, executes, has a stack there; reaches it with segments that begin below, end above or wrap around.
 */
#include "hostile.h"
HOSTILE("hostile-region");

static u32 top_table[1024] __attribute__((aligned(4096)));
static u32 frames[8][1024] __attribute__((aligned(4096)));

static const u8 code[] = {0xB8, 0x78, 0x56, 0x34, 0x12, 0xC3}; /* mov eax, 0x12345678; ret */
static u32 answer;
static void call_it(u32 address) { __asm__ volatile("call *%1" : "=a"(answer) : "r"(address) : "ecx", "edx", "memory"); }
static void push_there(u32 stack)
{
    __asm__ volatile("movl %%esp, %%ebx\n\tmovl %0, %%esp\n\tpushl $0x1234\n\tpushl %%ebx\n\tcall 1f\n"
                     "1:\tpopl %%eax\n\tpopl %%ebx\n\tmovl %%ebx, %%esp"
                     : : "r"(stack) : "eax", "ebx", "memory");
}
static void copy_across(u32 to)
{
    u32 from = 0x100000, count = 0x2000;

    __asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
}
static void read_gs(u32 offset) { __asm__ volatile("movl %%gs:(%1), %0" : "=r"(got) : "r"(offset)); }
static void write_gs(u32 offset) { __asm__ volatile("movl %0, %%gs:(%1)" : : "r"(offset), "r"(offset) : "memory"); }
static void load_gs(u32 selector) { __asm__ volatile("movl %0, %%gs" : : "r"(selector)); }

static u32 sum_of_frames(void)
{
    u32 sum = 0;

    for (u32 f = 0; f < 8; f++)
        for (u32 i = 0; i < 1024; i++) sum = mix(sum, frames[f][i]);
    return sum;
}

void guest(void)
{
    u32 sum = 0;

    map_low(PRESENT | WRITABLE | USER);
    for (u32 page = 0; page < 1024; page++) top_table[page] = (u32)frames[page % 8] | PRESENT | WRITABLE | USER;
    directory[1022] = (u32)top_table | PRESENT | WRITABLE | USER;
    directory[1023] = (u32)top_table | PRESENT | WRITABLE | USER;
    paging_on();

    for (u32 page = 0; page < 1024; page += 5) {
        sum = mix(sum, attempt(try_write, TOP + page * 4096 + page * 4));
        sum = mix(sum, attempt(try_read, TOP + page * 4096 + page * 4));
        sum = mix(sum, got);
    }
    tell("words written and read", sum);
    tell("frames", sum_of_frames());

    sum = 0;
    for (u32 page = 0; page < 24; page++) {
        for (u32 i = 0; i < sizeof code; i++) ((volatile u8 *)frames[page % 8])[0x800 + i] = code[i];
        sum = mix(sum, attempt(call_it, TOP + page * 4096 + 0x800));
        sum = mix(sum, answer);
        sum = mix(sum, attempt(push_there, TOP + page * 4096 + 0x700));
        sum = mix(sum, attempt_user(user_read, TOP + page * 4096 + 0x800, 0x200000));
        sum = mix(sum, got);
        sum = mix(sum, attempt_user(user_write, TOP + page * 4096 + 0x10, TOP + page * 4096 + 0x600));
    }
    tell("code, stacks and user mode there", sum);
    tell("frames", sum_of_frames());

    sum = mix(0, attempt(copy_across, TOP - 0x1000));
    tell("a copy across the border", mix(sum, sum_of_frames()));

    sum = 0;
    for (u32 n = 0; n < 40; n++) {
        gdt[8] = descriptor(TOP - 0x8000 + n * 0x1000, 0xF, 0x93, 0xC);
        gdt[9] = descriptor(0xFFFFF000 + n * 4, 0xFFFFF, 0x93, 0xC); /* wraps around */
        gdt[10] = descriptor(0, 0xFFBFF + n, 0x97, 0xC);             /* expand-down: everything above */
        for (u32 entry = 8; entry <= 10; entry++) {
            u32 offset = entry == 9 ? 0x2000 + 0x100000 : entry == 10 ? TOP + 0x3000 + n * 64 : n * 0x180;

            sum = mix(sum, attempt(load_gs, entry << 3));
            sum = mix(sum, attempt(read_gs, offset));
            sum = mix(sum, got);
            if (entry != 9) sum = mix(sum, attempt(write_gs, offset));
        }
    }
    load_gs(SEL_DATA);
    tell("segments over it", sum);
    tell("frames", sum_of_frames());

    /* Taken away again: every access must fault now. */
    directory[1023] = 0;
    write_cr3((u32)directory);
    sum = 0;
    for (u32 page = 0; page < 1024; page += 3) {
        sum += attempt(page % 2 == 0 ? try_read : try_write, TOP + page * 4096) == PF;
        sum += attempt(try_jump, TOP + page * 4096 + 0x800) == PF;
    }
    tell("page faults without a mapping", sum);
    paging_off();
}
