/*
 * Forges descriptors of every type, base and limit, loads them into every segment register, LDTR and TR, and uses them;
 * asks for descriptors that are not its own: beyond the limit, of a table that a VMM may keep at the top, of an LDT there.
 */
#include "hostile.h"
HOSTILE("hostile-segments");

static void load_ds(u32 s) { __asm__ volatile("movl %0, %%ds" : : "r"(s)); }
static void load_es(u32 s) { __asm__ volatile("movl %0, %%es" : : "r"(s)); }
static void load_fs(u32 s) { __asm__ volatile("movl %0, %%fs" : : "r"(s)); }
static void load_gs(u32 s) { __asm__ volatile("movl %0, %%gs" : : "r"(s)); }
static void load_ss(u32 s) { __asm__ volatile("movl %0, %%ss" : : "r"(s)); }
static void load_ldt(u32 s) { lldt(s); }
static void load_tr(u32 s) { ltr(s); }
static void use_es(u32 offset) { __asm__ volatile("movl %%es:(%1), %0" : "=r"(got) : "r"(offset)); }
static void use_fs(u32 offset) { __asm__ volatile("movl %%fs:(%1), %0" : "=r"(got) : "r"(offset)); }
static void use_gs(u32 offset) { __asm__ volatile("movl %%gs:(%1), %0" : "=r"(got) : "r"(offset)); }
static void write_es(u32 offset) { __asm__ volatile("orl $1, %%es:(%0)" : : "r"(offset) : "memory", "cc"); }
static u32 far_pointer[2];
static void jump_far(u32 s)
{
    far_pointer[0] = 0xFFC00123;
    far_pointer[1] = s;
    __asm__ volatile("ljmp *%0" : : "m"(far_pointer));
}
static void call_far(u32 s)
{
    far_pointer[0] = 0x00300000;
    far_pointer[1] = s;
    __asm__ volatile("lcall *%0" : : "m"(far_pointer));
}

static void (*const loads[])(u32) = {load_ds, load_es, load_fs, load_gs, load_es, load_fs, load_gs, load_ldt};
static void (*const uses[])(u32) = {use_es, use_fs, use_gs, write_es};

static u32 top_table[1024] __attribute__((aligned(4096)));
static u32 seed = 0x13579BDF;
static u32 sum;

static void put_back(void)
{
    static const struct table_pointer own = {sizeof gdt - 1, (u32)gdt}, interrupts_own = {sizeof idt - 1, (u32)idt};

    lgdt(&own);
    lidt(&interrupts_own);
    load_ds(SEL_DATA);
    load_es(SEL_DATA);
    load_fs(SEL_DATA);
    load_gs(SEL_DATA);
}

static void note(u32 result) { sum = mix(mix(sum, result), result == 0 ? 0 : fault_error); }

void guest(void)
{
    u32 page;

    for (page = 0; page < 1024; page++) at(0x400000)[page] = page * 77;
    for (u32 turn = 0; turn < 400; turn++) {
        u32 roll = next_random(&seed);
        u32 base = roll % 3 == 0 ? 0 : roll % 3 == 1 ? TOP + (roll & 0x3FF000) : next_random(&seed);
        u32 limit = (roll & 8) != 0 ? 0xFFFFF : next_random(&seed) & 0xFFFFF;
        u32 access = (next_random(&seed) & 0x7F) | 0x80 | (roll % 5 != 0 ? 0x10 : 0);
        u32 entry = 8 + (roll >> 4) % 8;
        u32 rights = (access & 0x60) == 0x60 && (roll & 0x100) != 0 ? 3 : 0;

        gdt[entry] = descriptor(base, limit, access, 0xC);
        note(attempt(loads[(roll >> 12) % 8], entry << 3 | rights));
        for (u32 use = 0; use < 4; use++) {
            note(attempt(uses[use], (roll & 0x1000) != 0 ? 0x400000 + (roll & 0xFFC) : 0 - base));
            if (use != 3) sum = mix(sum, got == 0xFFFFFFFF || got == 0 ? 1 : got == 0x4B ? 2 : 3);
        }
        put_back();
    }
    tell("forged descriptors", sum);

    sum = 0;
    for (u32 selector = sizeof gdt; selector < 0x10000; selector += 0x238) { /* beyond the limit */
        note(attempt(load_es, selector));
        note(attempt(load_ss, selector | 4));
        note(attempt(load_tr, selector));
        note(attempt(jump_far, selector));
        note(attempt(call_far, selector));
    }
    note(attempt(load_tr, 0xFFF8));
    note(attempt(jump_far, 0xFFF8));
    note(attempt(load_es, 0xFFF8));
    tell("selectors beyond the limit", sum);

    sum = 0;
    map_low(PRESENT | WRITABLE);
    for (page = 0; page < 1024; page++) top_table[page] = ((u32)gdt & ~0xFFFu) | PRESENT | WRITABLE;
    directory[1023] = (u32)top_table | PRESENT | WRITABLE;
    paging_on();
    for (u32 n = 0; n < 24; n++) { /* its own tables, at the addresses where a VMM's may be */
        struct table_pointer there = {sizeof gdt - 1, TOP + n * 0x1000};
        struct table_pointer interrupts_there = {sizeof idt - 1, TOP + 0x40000 + n * 0x1000};

        top_table[64 + n] = ((u32)idt & ~0xFFFu) | PRESENT | WRITABLE;
        invlpg(TOP + 0x40000 + n * 0x1000);
        lgdt(&there);
        lidt(&interrupts_there);
        note(attempt(load_es, SEL_USER_DATA));
        note(attempt(load_es, 0xFFF8));
        gdt[8] = descriptor(TOP + n * 0x1000, 0x7F, 0x82, 0);
        note(attempt(load_ldt, SEL_FREE));
        note(attempt(load_es, 0x0C + n % 16 * 8));
        note(attempt(load_ss, 0x0C + n % 16 * 8));
        note(attempt(load_ldt, 0));
        gdt[8] = descriptor(TOP + n * 0x1000, 0x67, 0x89, 0); /* a task there */
        note(attempt(load_tr, SEL_FREE));
        gdt[5] = descriptor((u32)tss, 103, 0x89, 0);
        ltr(SEL_TSS);
        put_back();
    }
    paging_off();
    tell("tables at the top", sum);

    sum = 0;
    for (u32 n = 0; n < 16; n++) { /* gates to anywhere */
        gdt[9] = gate(TOP + n * 64, SEL_CODE, 0x8C);
        gdt[10] = gate(0, SEL_TSS, 0x80 | n);
        note(attempt(call_far, 9 << 3));
        if (n != 5) note(attempt(call_far, 10 << 3));
        idt[0x40] = gate(TOP + n * 64, n % 2 == 0 ? SEL_CODE : 0xFFF8, 0x8E);
        note(attempt(jump_far, 9 << 3));
        put_back();
    }
    tell("gates", sum);
    tell("exceptions", faults);
}
