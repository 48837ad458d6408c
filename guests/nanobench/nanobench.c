/*
 * The nanobenchmarks of Adams and Agesen, ASPLOS 2006, section 6.3 and figure 4, for a 32-bit CPU: each does one thing n times in the
 * shortest loop. `nothing` is that loop alone. The cost of one is the difference of two runs by that of their n, less the loop's.
 * Two are stand-ins: SYSENTER and SYSEXIT for SYSCALL and SYSRET, the task priority register in memory for CR8, which is the
 * same register under a name that exists in 64-bit mode only.
 * Invariants: interrupts are off, or masked at the controller; the result line depends on the options alone; what is set up does not depend on n.
 * Source: that paper for what is measured; SDM vol 3 for the machine.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

#define PAGE 4096u
#define PRESENT_WRITABLE 3u
#define USER 4u
#define CACHE_DISABLE 0x18u
#define CR0_PG 0x80000000u
#define CR0_WP 0x10000u
#define APIC 0xFEE00000u
#define APIC_TASK_PRIORITY 0x80u
#define WINDOW 0xC0000000u /* linear addresses whose entries are changed */
#define WINDOW_TABLES 4u
#define WINDOW_PAGES (WINDOW_TABLES * 1024)
#define ENTRY ((4u << 20) | PRESENT_WRITABLE) /* all of them */
#define ABSENT 0xD0000000u
#define LOW_PAGES 2048u

static u32 directory[1024] __attribute__((aligned(4096)));
static u32 low[LOW_PAGES] __attribute__((aligned(4096)));
static u32 window[WINDOW_PAGES] __attribute__((aligned(4096)));
static u32 apic[1024] __attribute__((aligned(4096)));
static u32 empty[1024] __attribute__((aligned(4096)));
static struct { u16 low, selector, type, high; } idt[32] __attribute__((aligned(8)));

extern u8 user_program[], user_stack[], stack_top[];
void start(void);
void subroutine(void);
void run_user(u32 n);
void on_divide(void);
void on_page_fault(void);
void on_fault(void);
void on_system_call(void);

static inline void out8(u16 port, u8 value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
static inline void out32(u16 port, u32 value) { __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port)); }
static inline void write_msr(u32 number, u32 value) { __asm__ volatile("wrmsr" : : "c"(number), "a"(value), "d"(0)); }

static void print(const char *text)
{
    while (*text != 0) out8(0xE9, (u8)*text++);
}

static void print_number(u32 value)
{
    char digits[11];
    u32 i = 10;
    digits[10] = 0;
    do digits[--i] = (char)('0' + value % 10); while ((value /= 10) != 0);
    print(digits + i);
}

static void __attribute__((noreturn)) power_off(u32 code)
{
    out32(0xF4, code);
    for (const char *text = "Shutdown"; *text != 0; text++) out8(0x8900, (u8)*text);
    for (;;) __asm__ volatile("cli; hlt");
}

static void __attribute__((noreturn)) refuse(const char *what)
{
    print("nanobench: ");
    print(what);
    print("\n");
    power_off(2);
}

/* ------------------------------------------------------------------ the benchmarks */

/* BODY n times. */
#define LOOP(body, ...) __asm__ volatile("1: " body "\n decl %0\n jnz 1b" : "+r"(n) : __VA_ARGS__ : "memory", "cc")

static void run_nothing(u32 n) { LOOP(""); }
static void run_callret(u32 n) { LOOP("call subroutine"); }
static void run_syscall(u32 n) { run_user(n); }
static void run_in(u32 n) { __asm__ volatile("1: inb $0x80, %%al\n decl %0\n jnz 1b" : "+r"(n) : : "eax", "cc"); }
static void run_tpr(u32 n) { LOOP("movl %1, (%2)", "r"(0x20), "r"(APIC + APIC_TASK_PRIORITY)); }
static void run_divzero(u32 n)
{
    __asm__ volatile("1: divl %%ecx\n decl %0\n jnz 1b" : "+S"(n) : "a"(1), "d"(0), "c"(0) : "cc");
}
static void run_pgfault(u32 n)
{
    __asm__ volatile("1: movl (%%ebx), %%eax\n decl %0\n jnz 1b" : "+S"(n) : "b"(ABSENT) : "eax", "cc");
}

/* One entry, as it is. */
static void run_ptemod(u32 n) { LOOP("movl %1, (%2)", "r"(ENTRY), "r"(window)); }
/* Takes the first n pages of the window away, or gives them back. */
static void run_unmap(u32 n) { LOOP("movl %1, -4(%2,%0,4)", "r"(0), "r"(window)); }
static void run_map(u32 n) { LOOP("movl %1, -4(%2,%0,4)", "r"(ENTRY), "r"(window)); }

static void touch_window(void)
{
    for (u32 at = 0; at < WINDOW_PAGES; at++) *(volatile u32 *)(WINDOW + at * PAGE);
}

static const struct { const char *name; void (*run)(u32 n); u32 most; } kinds[] = {
    { "nothing", run_nothing, 0xFFFFFFFF }, { "syscall", run_syscall, 0xFFFFFFFF }, { "in", run_in, 0xFFFFFFFF },
    { "tpr", run_tpr, 0xFFFFFFFF },         { "callret", run_callret, 0xFFFFFFFF }, { "pgfault", run_pgfault, 0xFFFFFFFF },
    { "divzero", run_divzero, 0xFFFFFFFF }, { "ptemod", run_ptemod, 0xFFFFFFFF },   { "unmap", run_unmap, WINDOW_PAGES },
    { "map", run_map, WINDOW_PAGES },
};

/* ------------------------------------------------------------------ set-up */

static void set_gate(u32 vector, void (*handler)(void))
{
    idt[vector].low = (u16)(u32)handler;
    idt[vector].high = (u16)((u32)handler >> 16);
    idt[vector].selector = 8;
    idt[vector].type = 0x8E00;
}

static void set_up_interrupts(void)
{
    for (u32 vector = 0; vector < 32; vector++) set_gate(vector, on_fault);
    set_gate(0, on_divide);
    set_gate(14, on_page_fault);
    struct { u16 limit; u32 base; } __attribute__((packed)) pointer = { sizeof idt - 1, (u32)idt };
    __asm__ volatile("lidt %0" : : "m"(pointer));
    out8(0x21, 0xFF), out8(0xA1, 0xFF);
}

/* Linear = physical for 8 MiB; the window; the local APIC; a table without entries. */
static void set_up_paging(void)
{
    for (u32 i = 0; i < LOW_PAGES; i++) low[i] = i * PAGE | PRESENT_WRITABLE;
    low[(u32)user_program / PAGE] |= USER;
    low[(u32)user_stack / PAGE] |= USER;
    directory[0] = (u32)low | PRESENT_WRITABLE | USER;
    directory[1] = (u32)&low[1024] | PRESENT_WRITABLE;
    run_map(WINDOW_PAGES);
    for (u32 i = 0; i < WINDOW_TABLES; i++) directory[(WINDOW >> 22) + i] = (u32)&window[i * 1024] | PRESENT_WRITABLE;
    apic[APIC >> 12 & 1023] = APIC | CACHE_DISABLE | PRESENT_WRITABLE;
    directory[APIC >> 22] = (u32)apic | PRESENT_WRITABLE;
    directory[ABSENT >> 22] = (u32)empty | PRESENT_WRITABLE;
    u32 cr0;
    __asm__ volatile("movl %0, %%cr3" : : "r"(directory) : "memory");
    __asm__ volatile("movl %%cr0, %0" : "=r"(cr0));
    __asm__ volatile("movl %0, %%cr0" : : "r"(cr0 | CR0_PG | CR0_WP) : "memory");
}

static void set_up_system_calls(void)
{
    write_msr(0x174, 8);
    write_msr(0x175, (u32)stack_top - 2048);
    write_msr(0x176, (u32)on_system_call);
}

/* ------------------------------------------------------------------ command line */

static u32 word_length(const char *word)
{
    u32 length = 0;
    while (word[length] != 0 && word[length] != ' ') length++;
    return length;
}

static int is_word(const char *word, const char *name)
{
    while (*name != 0) if (*word++ != *name++) return 0;
    return *word == 0 || *word == ' ';
}

static u32 number(const char *digits)
{
    u32 value = 0;
    if (*digits < '0' || *digits > '9') refuse("n= takes a number");
    while (*digits >= '0' && *digits <= '9') value = value * 10 + (u32)(*digits++ - '0');
    return value;
}

struct multiboot { u32 flags, mem_lower, mem_upper, boot_device; const char *command_line; };

void __attribute__((noreturn)) nanobench_main(u32 magic, const struct multiboot *info)
{
    if (magic != 0x2BADB002) power_off(0x7E);
    const char *word = (info->flags & 4) != 0 ? info->command_line : "";
    u32 n = 1000, kind = 0, known = sizeof kinds / sizeof kinds[0];
    for (; *word != 0; word += word_length(word)) {
        while (*word == ' ') word++;
        if (word[0] == 'n' && word[1] == '=') n = number(word + 2);
        for (u32 i = 0; i < known; i++) if (is_word(word, kinds[i].name)) kind = i + 1;
    }
    if (kind == 0) refuse("no such workload");
    kind--;
    if (n == 0 || n > kinds[kind].most) refuse("n= is out of range");
    set_up_interrupts();
    set_up_system_calls();
    set_up_paging();
    touch_window();
    if (is_word("map", kinds[kind].name)) run_unmap(WINDOW_PAGES);
    kinds[kind].run(n);
    out32(0xE4, n);
    print("nanobench: ");
    print(kinds[kind].name);
    print(" n=");
    print_number(n);
    print("\n");
    power_off(0);
}
