/*
 * The machine of several CPUs: MP table, local APICs, start-up, interrupts, page tables.
 * Invariants: CPUs are numbered in the order of the table, the boot CPU is 0; no delays, so this is for emulators and VMs:
 *             a PC wants 10 ms after INIT and 200 us after a start-up message. The 8259 pair stays masked; no timer runs.
 * Source: MultiProcessor Specification 1.4, chapter 4 and appendix B; Intel SDM volume 3, chapters 8 and 10.
 */
#include "smp.h"

#define LAPIC_ID (0x20 / 4)
#define LAPIC_TASK_PRIORITY (0x80 / 4)
#define LAPIC_END (0xB0 / 4)
#define LAPIC_SPURIOUS (0xF0 / 4)
#define LAPIC_COMMAND_LOW (0x300 / 4)
#define LAPIC_COMMAND_HIGH (0x310 / 4)
#define LAPIC_LINT0 (0x350 / 4)
#define LAPIC_LINT1 (0x360 / 4)
#define LAPIC_ENABLED 0x100u
#define LAPIC_MASKED 0x10000u
#define COMMAND_INIT 0x4500u     /* INIT, assert */
#define COMMAND_STARTUP 0x4600u
#define COMMAND_FIXED 0x4000u
#define COMMAND_OTHERS 0xC0000u  /* shorthand: all but self */
#define COMMAND_PENDING 0x1000u

#define PTE_PRESENT_WRITE 0x003u
#define PTE_UNCACHED 0x010u
#define PDE_LARGE 0x080u
#define RAM_MIB 16

struct mp_pointer { char signature[4]; u32 table; u8 length, revision, sum, features[5]; };
struct mp_table {
    char signature[4];
    u16 length;
    u8 version, sum;
    char names[20];
    u32 oem_table;
    u16 oem_bytes, entries;
    u32 lapic;
    u32 extended;
};
struct mp_cpu { u8 type, apic_id, version, flags; u32 unused[4]; };
#define MP_CPU_USABLE 1
#define MP_CPU_BOOT 2
#define MP_OTHER_BYTES 8

u32 cpu_count;
static u8 apic_ids[CPUS_MAX];
static volatile u32 *lapic;
void *next_stack; /* boot.S */
static volatile u32 started;

static u32 directory[1024] __attribute__((aligned(4096)));
static u32 window_table[1024] __attribute__((aligned(4096)));
static u32 idt[IDT_COUNT][2] __attribute__((aligned(4096)));
extern char stubs[], trampoline[], trampoline_end[];

/* ---- MP table ---- */

static u32 sums_to_zero(const void *start, u32 bytes)
{
    const u8 *at = start;
    u8 sum = 0;

    while (bytes--)
        sum += *at++;
    return sum == 0;
}

static const struct mp_pointer *pointer_in(u32 from, u32 bytes)
{
    for (u32 at = from; at < from + bytes; at += sizeof(struct mp_pointer)) {
        const struct mp_pointer *p = (const void *)at;
        if (*(const u32 *)p->signature == 0x5F504D5F && sums_to_zero(p, sizeof *p)) /* "_MP_" */
            return p;
    }
    return 0;
}

static const struct mp_pointer *pointer_find(void)
{
    const u16 *bios = (const u16 *)0x400;

    __asm__("" : "+r"(bios)); /* gcc takes small addresses for mistakes */
    const struct mp_pointer *p = pointer_in((u32)bios[7] << 4, 1024); /* extended BIOS data area */

    if (!p)
        p = pointer_in(((u32)bios[9] - 1) << 10, 1024); /* the last KiB of base memory */
    return p ? p : pointer_in(0xF0000, 0x10000);
}

static void cpu_note(const struct mp_cpu *cpu)
{
    if (!(cpu->flags & MP_CPU_USABLE) || cpu_count == CPUS_MAX)
        return;
    if (cpu->flags & MP_CPU_BOOT && cpu_count)
        panic("the boot CPU is not the first of the MP table");
    apic_ids[cpu_count++] = cpu->apic_id;
}

void machine_read(void)
{
    const struct mp_pointer *pointer = pointer_find();

    if (!pointer || !pointer->table)
        panic("no MP table");
    const struct mp_table *table = (const void *)pointer->table;
    if (*(const u32 *)table->signature != 0x504D4350 || !sums_to_zero(table, table->length)) /* "PCMP" */
        panic("broken MP table");
    lapic = (volatile u32 *)table->lapic;
    const u8 *at = (const u8 *)(table + 1);
    for (u32 i = 0; i < table->entries; i++) {
        if (*at == 0)
            cpu_note((const struct mp_cpu *)at);
        at += *at == 0 ? sizeof(struct mp_cpu) : MP_OTHER_BYTES;
    }
    if (!cpu_count)
        panic("no CPU in the MP table");
}

/* ---- each CPU ---- */

static void tables_fill(void)
{
    for (u32 n = 0; n < IDT_COUNT; n++) {
        u32 stub = (u32)stubs + n * STUB_BYTES;
        idt[n][0] = SEL_CODE << 16 | (stub & 0xFFFF);
        idt[n][1] = (stub & 0xFFFF0000u) | 0x8E00; /* interrupt gate, DPL 0 */
    }
    for (u32 i = 0; i < RAM_MIB / 4; i++)
        directory[i] = i << 22 | PDE_LARGE | PTE_PRESENT_WRITE;
    directory[(u32)lapic >> 22] = ((u32)lapic & 0xFFC00000u) | PDE_LARGE | PTE_UNCACHED | PTE_PRESENT_WRITE;
    directory[WINDOW >> 22] = (u32)window_table | PTE_PRESENT_WRITE;
}

void cpu_start_up(void)
{
    struct table_pointer idt_pointer = {sizeof idt - 1, (u32)idt};

    if (!directory[0])
        tables_fill();
    lidt(&idt_pointer);
    write_cr4(CR4_PSE);
    write_cr3((u32)directory);
    write_cr0(CR0_PE | CR0_EM | CR0_ET | CR0_WP | CR0_PG);
    lapic[LAPIC_SPURIOUS] = LAPIC_ENABLED | VECTOR_SPURIOUS;
    lapic[LAPIC_LINT0] = LAPIC_MASKED;
    lapic[LAPIC_LINT1] = LAPIC_MASKED;
    lapic[LAPIC_TASK_PRIORITY] = 0;
}

/* ---- messages ---- */

static void send(u32 command, u32 cpu)
{
    lapic[LAPIC_COMMAND_HIGH] = (u32)apic_ids[cpu] << 24;
    lapic[LAPIC_COMMAND_LOW] = command;
    while (lapic[LAPIC_COMMAND_LOW] & COMMAND_PENDING)
        pause();
}

/* Interrupts stay out: a handler that sends would change the destination in between. No handler does. */
void send_to(u32 cpu, u32 vector) { send(COMMAND_FIXED | vector, cpu); }
void send_to_others(u32 vector)
{
    if (cpu_count > 1)
        send(COMMAND_FIXED | COMMAND_OTHERS | vector, 0);
}

void other_main(void)
{
    cpu_start_up();
    add_locked(&started, 1);
    other_work(this_cpu());
}

/* INIT, then the start-up message twice, as the specification has it; outside its wait a CPU ignores the second. */
void others_start(u32 cpus)
{
    memcpy((void *)TRAMPOLINE, trampoline, (u32)(trampoline_end - trampoline));
    for (u32 cpu = 1; cpu < cpus; cpu++) {
        next_stack = stacks[cpu + 1];
        send(COMMAND_INIT, cpu);
        send(COMMAND_STARTUP | TRAMPOLINE >> 12, cpu);
        send(COMMAND_STARTUP | TRAMPOLINE >> 12, cpu);
        while (started != cpu)
            pause();
    }
    cpu_count = cpus;
}

/* ---- the page that comes and goes ---- */

void window_map(u32 page) { *(volatile u32 *)window_table = page ? page | PTE_PRESENT_WRITE : 0; }
void window_forget(void) { invlpg(WINDOW); }

/* ---- traps ---- */

struct frame {
    u32 edi, esi, ebp, esp_ignored, ebx, edx, ecx, eax;
    u32 vector, error, eip, cs, eflags;
};

/* Called by boot.S with interrupts off. */
void trap(struct frame *frame)
{
    if (frame->vector == VECTOR_SPURIOUS)
        return;
    if (frame->vector < 32) {
        print("nano-smp: vector %u error 0x%x at 0x%X on CPU %u\n", frame->vector, frame->error, frame->eip, this_cpu());
        panic("exception");
    }
    on_interrupt(frame->vector);
    lapic[LAPIC_END] = 0;
}
