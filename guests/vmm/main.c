/*
 * A small VMM: VMX operation, one control structure, one guest (L2), a handler per exit reason.
 * L2 has flat segments and page tables of our making that map its own pages and nothing else, as VT-x needs without nested
 * paging; its devices are emulated by touching our own.
 * Invariants: prints one line that depends on the workload alone; L2 can reach no byte outside of its section.
 * Source: SDM vol 3, chapters 23 to 27 and appendices A to C.
 */
#include "vmm.h"

extern u8 l2_begin[], l2_end[], l2_entry[], l2_stack_top[];
extern u32 gdt[], idt[], tss[];
extern volatile u32 ticks;
extern void timer_entry(void);
extern u32 run_guest(u32 *registers, u32 launched);

#define PAGE __attribute__((aligned(4096)))
static u32 vmxon_region[1024] PAGE, vmcs[1024] PAGE, other_region[1024] PAGE;
static u32 directory[1024] PAGE, l2_directory[1024] PAGE, l2_table[1024] PAGE;

static void early_errors(void);

static u32 registers[8];
static u32 exits[64];
static u32 result, finished, escapes, parameter;

/* ------------------------------------------------------------------ console, command line */

static void print(const char *text)
{
    for (; *text != 0; text++)
        outb(0xE9, (u8)*text);
}

static void print_number(u32 value)
{
    char digits[11];
    int at = 10;
    digits[at] = 0;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    print(digits + at);
}

static void print_hex(u32 value)
{
    print("0x");
    for (int shift = 28; shift >= 0; shift -= 4)
        outb(0xE9, (u8)"0123456789abcdef"[(value >> shift) & 15]);
}

static __attribute__((noreturn)) void power_off(u32 code)
{
    outl(0xF4, code);
    for (const char *text = "Shutdown"; *text != 0; text++)
        outb(0x8900, (u8)*text);
    for (;;)
        __asm__ volatile("cli; hlt");
}

static __attribute__((noreturn)) void panic(const char *text, u32 value)
{
    print("vmm: ");
    print(text);
    print(" ");
    print_hex(value);
    print("\n");
    power_off(1);
}

static const char *const WORKLOADS[] = { "compute", "cpuid", "vmcall", "out", "in", "fault", "tick", "escape", "all", "errors" };

static int is_word(const char *line, const char *word)
{
    while (*word != 0)
        if (*line++ != *word++)
            return 0;
    return *line == 0 || *line == ' ';
}

/* WORKLOAD n=NUMBER; words with a slash or a dot are the file name that loaders put in front. */
static u32 read_command(const char *line, u32 *count)
{
    u32 workload = sizeof WORKLOADS / sizeof *WORKLOADS;
    *count = 100;
    while (*line != 0) {
        for (u32 i = 0; i < sizeof WORKLOADS / sizeof *WORKLOADS; i++)
            if (is_word(line, WORKLOADS[i]))
                workload = i;
        if (line[0] == 'n' && line[1] == '=') {
            *count = 0;
            for (line += 2; *line >= '0' && *line <= '9'; line++)
                *count = *count * 10 + (u32)(*line - '0');
        }
        while (*line != 0 && *line != ' ')
            line++;
        while (*line == ' ')
            line++;
    }
    return workload;
}

/* ------------------------------------------------------------------ control structure */

static u32 msr_low(u32 msr)
{
    u32 low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return low;
}

static u32 msr_high(u32 msr)
{
    u32 low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return high;
}

static void write(u32 field, u32 value)
{
    u8 failed;
    __asm__ volatile("vmwrite %2, %1; setna %0" : "=q"(failed) : "r"(field), "r"(value) : "cc");
    if (failed)
        panic("vmwrite failed", field);
}

static u32 read(u32 field)
{
    u32 value;
    u8 failed;
    __asm__ volatile("vmread %2, %0; setna %1" : "=r"(value), "=q"(failed) : "r"(field) : "cc");
    if (failed)
        panic("vmread failed", field);
    return value;
}

/* An operand of VMXON, VMCLEAR and VMPTRLD: a 64-bit physical address. */
#define POINTER_INSTRUCTION(name)                                                                    \
    static void name(void *region)                                                                   \
    {                                                                                                \
        u32 pointer[2] = { (u32)region, 0 };                                                         \
        u8 failed;                                                                                   \
        __asm__ volatile(#name " %1; setna %0" : "=q"(failed) : "m"(pointer) : "cc", "memory");      \
        if (failed)                                                                                  \
            panic(#name " failed", (u32)region);                                                     \
    }
POINTER_INSTRUCTION(vmxon)
POINTER_INSTRUCTION(vmclear)
POINTER_INSTRUCTION(vmptrld)

/* Controls that we want, those that must be, less those that may not be. */
static u32 controls(u32 msr, u32 wanted)
{
    return (wanted | msr_low(msr)) & msr_high(msr);
}

static u32 cr0(void) { u32 v; __asm__ volatile("movl %%cr0, %0" : "=r"(v)); return v; }
static u32 cr4(void) { u32 v; __asm__ volatile("movl %%cr4, %0" : "=r"(v)); return v; }

static void set_up_paging(void)
{
    for (u32 i = 0; i < 1024; i++)
        directory[i] = (i << 22) | 0x83; /* present, writable, 4 MiB */
    l2_directory[(u32)l2_begin >> 22] = (u32)l2_table | 7;
    for (u32 at = (u32)l2_begin; at < (u32)l2_end; at += 4096)
        l2_table[(at >> 12) & 1023] = at | 7;
    __asm__ volatile("movl %0, %%cr4" : : "r"(cr4() | 0x10));
    __asm__ volatile("movl %0, %%cr3" : : "r"(directory));
    __asm__ volatile("movl %0, %%cr0" : : "r"(cr0() | 0x80000021));
}

static void set_up_tables(void)
{
    gdt[6] = ((u32)tss << 16) | 103;
    gdt[7] = ((u32)tss & 0xFF000000) | 0x8900 | (((u32)tss >> 16) & 0xFF);
    __asm__ volatile("ltr %w0" : : "r"(TSS_SEL));
    idt[0x20 * 2] = (CODE_SEL << 16) | ((u32)timer_entry & 0xFFFF);
    idt[0x20 * 2 + 1] = ((u32)timer_entry & 0xFFFF0000) | 0x8E00;
}

/* IRQ 0 at vector 0x20, a tick every 1/1000 s; all other lines masked. */
static void set_up_timer(void)
{
    static const u8 first[] = { 0x11, 0x20, 4, 1, 0xFE }, second[] = { 0x11, 0x28, 2, 1, 0xFF };
    outb(0x20, first[0]);
    outb(0xA0, second[0]);
    for (int i = 1; i < 5; i++) {
        outb(0x21, first[i]);
        outb(0xA1, second[i]);
    }
    outb(0x43, 0x34);
    outb(0x40, 1193 & 0xFF);
    outb(0x40, 1193 >> 8);
}

static void set_up_vmcs(u32 workload, u32 count)
{
    u32 segments[6] = { DATA_SEL, CODE_SEL, DATA_SEL, DATA_SEL, DATA_SEL, DATA_SEL };
    u32 gdtr[2], idtr[2];
    __asm__ volatile("sgdt 2+%0; sidt 2+%1" : "=m"(gdtr), "=m"(idtr));
    *vmxon_region = *vmcs = msr_low(0x480) & 0x7FFFFFFF;
    __asm__ volatile("movl %0, %%cr4" : : "r"(cr4() | 0x2000));
    vmxon(vmxon_region);
    if (workload == WORK_ERRORS)
        early_errors();
    vmclear(vmcs);
    vmptrld(vmcs);
    write(0x4000, controls(0x481, 1));              /* external interrupts exit */
    write(0x4002, controls(0x482, 0x01000080));     /* HLT and every port exits */
    write(0x4004, 1 << 14);                         /* page faults exit */
    write(0x400C, controls(0x483, 0));
    write(0x4012, controls(0x484, 0));
    for (u32 field = 0x4006; field <= 0x400A; field += 2)
        write(field, 0);
    write(0x400E, 0);
    write(0x4010, 0);
    write(0x4014, 0);
    write(0x4016, 0);
    write(0x2800, 0xFFFFFFFF);
    write(0x2801, 0xFFFFFFFF);
    write(0x2802, 0);
    write(0x2803, 0);
    write(0x6000, 0);
    write(0x6002, 0);
    for (u32 i = 0; i < 6; i++) {
        write(0x0C00 + 2 * i, segments[i]);
        write(0x0800 + 2 * i, segments[i]);
        write(0x4800 + 2 * i, 0xFFFFFFFF);
        write(0x4814 + 2 * i, i == 1 ? 0xC09B : 0xC093);
        write(0x6806 + 2 * i, 0);
    }
    write(0x0C0C, TSS_SEL);
    write(0x080C, 0);                               /* no LDT; a TSS that nobody looks at */
    write(0x480C, 0);
    write(0x4820, 0x10000);
    write(0x6812, 0);
    write(0x080E, TSS_SEL);
    write(0x480E, 103);
    write(0x4822, 0x8B);
    write(0x6814, (u32)l2_begin);
    write(0x6C00, cr0());
    write(0x6C02, (u32)directory);
    write(0x6C04, cr4());
    write(0x6C06, 0);
    write(0x6C08, 0);
    write(0x6C0A, (u32)tss);
    write(0x6C0C, gdtr[1]);
    write(0x6C0E, idtr[1]);
    for (u32 field = 0x6C10; field <= 0x6C12; field += 2)
        write(field, 0);
    write(0x4C00, 0);
    write(0x6800, cr0());
    write(0x6802, (u32)l2_directory);
    write(0x6804, cr4());
    write(0x6816, (u32)l2_begin);                   /* GDT and IDT are L2's own business */
    write(0x6818, (u32)l2_begin);
    write(0x4810, 0);
    write(0x4812, 0);
    write(0x681A, 0x400);
    write(0x681C, (u32)l2_stack_top);
    write(0x681E, (u32)l2_entry);
    write(0x6820, 2);
    write(0x6822, 0);
    write(0x6824, 0);
    write(0x6826, 0);
    write(0x482A, 0);
    write(0x4824, 0);
    write(0x4826, 0);
    registers[0] = workload;
    registers[3] = count;
}

/* ------------------------------------------------------------------ mistakes, on purpose */

/* Prints how the last VMX instruction ended: ok, invalid, or the number of its error. */
static void verdict(const char *what, u32 flags)
{
    print(" ");
    print(what);
    print("=");
    if ((flags & 1) != 0)
        print("invalid");
    else if ((flags & 0x40) != 0)
        print_number(read(0x4400));
    else
        print("ok");
}

#define TRY(what, instruction, ...)                                                                  \
    do {                                                                                             \
        u32 flags;                                                                                   \
        __asm__ volatile(instruction "; pushfl; popl %0" : "=r"(flags) : __VA_ARGS__ : "cc", "memory"); \
        verdict(what, flags);                                                                        \
    } while (0)

/* Before a control structure is current. */
static void early_errors(void)
{
    u32 none[2] = { (u32)other_region, 0 };
    print("vmm: errors");
    TRY("read", "vmread %1, %1", "c"(0x4400));
    TRY("write", "vmwrite %2, %1", "a"(0x4000), "d"(0));
    TRY("launch", "vmlaunch", "a"(0));
    TRY("revision", "vmptrld %1", "m"(none));
}

/* With a structure that is current and complete. */
static void late_errors(void)
{
    u32 pointer[2] = { (u32)vmxon_region, 0 }, odd[2] = { (u32)vmcs + 16, 0 }, other[2] = { (u32)other_region, 0 };
    u32 stored[2];
    TRY("vmxon", "vmxon %1", "m"(pointer));
    TRY("clear-vmxon", "vmclear %1", "m"(pointer));
    TRY("load-vmxon", "vmptrld %1", "m"(pointer));
    TRY("clear-odd", "vmclear %1", "m"(odd));
    TRY("load-odd", "vmptrld %1", "m"(odd));
    TRY("revision", "vmptrld %1", "m"(other));
    TRY("no-field", "vmread %1, %1", "c"(0x7FFE));
    TRY("no-field", "vmwrite %2, %1", "a"(0x7FFE), "d"(0));
    TRY("read-only", "vmwrite %2, %1", "a"(0x4402), "d"(0));
    TRY("resume", "vmresume", "a"(0));
    __asm__ volatile("vmptrst %0" : "=m"(stored));
    print(stored[0] == (u32)vmcs && stored[1] == 0 ? " stored=ok" : " stored=wrong");

    u32 before = read(0x4000);
    write(0x4000, 0);
    TRY("pin", "vmlaunch", "a"(0));
    write(0x4000, before);
    before = read(0x4002);
    write(0x4002, 0);
    TRY("cpu", "vmlaunch", "a"(0));
    write(0x4002, before);
    before = read(0x6C04);
    write(0x6C04, before & ~0x2000u);
    TRY("host-cr4", "vmlaunch", "a"(0));
    write(0x6C04, before);
    before = read(0x0C02);
    write(0x0C02, 0);
    TRY("host-cs", "vmlaunch", "a"(0));
    write(0x0C02, before);

    /* A guest state that cannot be: the entry begins and is taken back. */
    static const struct { const char *what; u32 field, value; } GUEST[] = {
        { " rflags=", 0x6820, 0 }, { " cr4=", 0x6804, 0 }, { " tr=", 0x4822, 0x10000 }, { " cs=", 0x4816, 0xC013 },
        { " link=", 0x2801, 1 },
    };
    for (u32 i = 0; i < sizeof GUEST / sizeof *GUEST; i++) {
        before = read(GUEST[i].field);
        write(GUEST[i].field, GUEST[i].value);
        print(GUEST[i].what);
        if (run_guest(registers, 0) != 0) {
            print("error-");
            print_number(read(0x4400));
        } else
            print_hex(read(0x4402));
        write(GUEST[i].field, before);
    }
    /* All of it was put right again, so the guest runs; then it cannot be launched a second time. */
    registers[0] = WORK_VMCALL;
    registers[3] = 1;
    write(0x2800, 0xFFFFFFFF); /* clears the high half, as a word that is too short for its field does */
    print(read(0x2801) == 0 ? " short=clears" : " short=keeps");
    write(0x2801, 0xFFFFFFFF);
    print(" run=");
    if (run_guest(registers, 0) != 0)
        panic("entry failed, error", read(0x4400));
    print_hex(read(0x4402));
    TRY("again", "vmlaunch", "a"(0));
    print("\n");
}

/* ------------------------------------------------------------------ exits */

static void skip(void) { write(0x681E, read(0x681E) + read(0x440C)); }

static void on_cpuid(void)
{
    u32 leaf = registers[0];
    __asm__ volatile("cpuid" : "=a"(registers[0]), "=b"(registers[3]), "=c"(registers[1]), "=d"(registers[2]) : "a"(leaf));
    if (leaf == 0) { /* what our guest is told of its processor */
        registers[3] = 0x4D4D5620;
        registers[2] = 0x6567206C;
        registers[1] = 0x74736575;
    }
    skip();
}

static void on_call(void)
{
    if (registers[0] == CALL_DONE) {
        result = registers[3];
        finished = 1;
    } else
        registers[0] = registers[3] + 1;
    skip();
}

static void on_port(void)
{
    u32 what = read(0x6400), port = what >> 16;
    if ((what & 7) != 0 || (what & 0x30) != 0)
        panic("unexpected port access", what);
    if ((what & 8) != 0)
        registers[0] = (registers[0] & ~0xFFu) | inb((u16)port);
    else
        outb((u16)port, (u8)registers[0]);
    skip();
}

/* L2 touched what is not its own. Give the fault to it, as its processor would; without a handler for it that ends the run. */
static void on_exception(void)
{
    u32 info = read(0x4404), error = read(0x4406), address = read(0x6400);
    if ((info & 0xFF) != 14)
        panic("unexpected exception", info);
    escapes++;
    __asm__ volatile("movl %0, %%cr2" : : "r"(address));
    write(0x4018, error);
    write(0x4016, info);
}

static void on_exit(void)
{
    u32 reason = read(0x4402);
    if (reason < 64)
        exits[reason]++;
    switch (reason) {
    case 0: on_exception(); break;
    case 1: __asm__ volatile("sti; nop; cli"); break; /* our own handler takes it */
    case 2: finished = 1; break;                      /* triple fault: the guest is gone, we are not */
    case 10: on_cpuid(); break;
    case 12: skip(); if (parameter == WORK_TICK) __asm__ volatile("sti; hlt; cli"); break;
    case 18: on_call(); break;
    case 30: on_port(); break;
    default: panic("unexpected exit", reason);
    }
}

void vmm_main(const u32 *multiboot)
{
    u32 count, launched = 0;
    u32 workload = read_command((const char *)multiboot[4], &count);
    u32 eax = 1, ebx, ecx, edx;
    if (workload >= sizeof WORKLOADS / sizeof *WORKLOADS) {
        print("vmm: no such workload\n");
        power_off(2);
    }
    __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx));
    if ((ecx & 32) == 0) {
        print("vmm: this processor has no VMX\n");
        power_off(3);
    }
    parameter = workload;
    outb(0x21, 0xFF); /* whatever firmware left: no interrupt is wanted, and L2 reads this back */
    set_up_tables();
    set_up_paging();
    if (workload == WORK_TICK)
        set_up_timer();
    set_up_vmcs(workload, count);
    if (workload == WORK_ERRORS) {
        late_errors();
        power_off(0);
    }
    while (!finished) {
        u32 failed = run_guest(registers, launched);
        if (failed != 0)
            panic("entry failed, error", read(0x4400));
        launched = 1;
        on_exit();
        if (workload == WORK_TICK && ticks >= count)
            finished = 1;
    }
    __asm__ volatile("vmxoff");
    outl(0xE4, count);
    print("vmm: ");
    print(WORKLOADS[workload]);
    print(" n=");
    print_number(count);
    print(" result=");
    print_hex(result);
    print(" exits:");
    static const struct { u8 reason; const char *name; } NAMES[] = {
        { 0, " exception=" }, { 2, " triple-fault=" }, { 10, " cpuid=" }, { 18, " vmcall=" }, { 30, " io=" },
    };
    for (u32 i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (exits[NAMES[i].reason] != 0) {
            print(NAMES[i].name);
            print_number(exits[NAMES[i].reason]);
        }
    print("\n");
    power_off(0);
}
