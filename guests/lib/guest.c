/*
 * Tables, printing and the timer of the guests with one purpose each.
 * Invariant: every line that is printed begins with the guest's name, and depends on nothing but its instructions.
 * Source: Intel SDM volume 3, 3.4.5 and 6.11; Intel 8259A and 8254 datasheets.
 */
#include "guest.h"

u64 gdt[GDT_ENTRIES] __attribute__((aligned(4096)));
u64 idt[256] __attribute__((aligned(4096)));
u64 ldt[4] __attribute__((aligned(8)));
u32 tss[26] __attribute__((aligned(128)));
u32 memory_end;
const u32 *boot_information;
struct table_pointer gdt_pointer = {sizeof gdt - 1, 0};
struct table_pointer idt_pointer = {sizeof idt - 1, 0};

extern u8 fault_stubs[], system_call[], timer_interrupt[];

u64 descriptor(u32 base, u32 limit, u32 access, u32 flags)
{
    u32 low = (base << 16) | (limit & 0xFFFF);
    u32 high = (base & 0xFF000000) | ((base >> 16) & 0xFF) | (limit & 0xF0000) | (access << 8) | (flags << 20);

    return ((u64)high << 32) | low;
}

u64 gate(u32 handler, u32 selector, u32 access)
{
    return ((u64)((handler & 0xFFFF0000) | (access << 8)) << 32) | (selector << 16) | (handler & 0xFFFF);
}

/* Multiboot information: flags, memory below 1 MiB and above it in KiB. */
void make_tables(const u32 *information);
void make_tables(const u32 *information)
{
    boot_information = information;
    memory_end = 0x100000 + information[2] * 1024;
    gdt[1] = descriptor(0, 0xFFFFF, 0x9B, 0xC);
    gdt[2] = descriptor(0, 0xFFFFF, 0x93, 0xC);
    gdt[3] = descriptor(0, 0xFFFFF, 0xFB, 0xC);
    gdt[4] = descriptor(0, 0xFFFFF, 0xF3, 0xC);
    gdt[5] = descriptor((u32)tss, sizeof tss - 1, 0x89, 0);
    gdt[6] = descriptor((u32)ldt, sizeof ldt - 1, 0x82, 0);
    tss[1] = (u32)stack_top;
    tss[2] = SEL_DATA;
    tss[25] = sizeof tss << 16;
    for (u32 vector = 0; vector < 32; vector++) idt[vector] = gate((u32)fault_stubs + vector * 16, SEL_CODE, 0x8E);
    idt[3] = gate((u32)fault_stubs + 3 * 16, SEL_CODE, 0xEE);
    idt[0x20] = gate((u32)timer_interrupt, SEL_CODE, 0x8E);
    idt[0x80] = gate((u32)system_call, SEL_CODE, 0xEF);
    gdt_pointer.base = (u32)gdt;
    idt_pointer.base = (u32)idt;
    outb(0x21, 0xFF);
    outb(0xA1, 0xFF);
}

static void put(char c) { outb(0xE9, c); }

static void print_number(u32 value, u32 base)
{
    char digits[12];
    int n = 0;

    do digits[n++] = "0123456789abcdef"[value % base];
    while ((value /= base) != 0);
    while (n > 0) put(digits[--n]);
}

void print(const char *format, ...)
{
    __builtin_va_list arguments;

    __builtin_va_start(arguments, format);
    for (; *format != 0; format++) {
        if (*format != '%') {
            put(*format);
            continue;
        }
        format++;
        if (*format == 's') {
            for (const char *text = __builtin_va_arg(arguments, const char *); *text != 0; text++) put(*text);
        } else print_number(__builtin_va_arg(arguments, u32), *format == 'x' ? 16 : 10);
    }
    __builtin_va_end(arguments);
}

void finish(u32 exit_code)
{
    outl(0xE4, attempts);
    outl(0xF4, exit_code);
    for (const char *text = "Shutdown"; *text != 0; text++) outb(0x8900, *text);
    for (;;) __asm__ volatile("cli; hlt");
}

void unexpected_fault(void);
void unexpected_fault(void)
{
    print("%s: exception %u, error %x, at %x, address %x\n", guest_name, fault_vector, fault_error, fault_eip,
          fault_address);
    finish(0x7F);
}

void guest_main(void);
void guest_main(void)
{
    ltr(SEL_TSS); /* returns from ring 3 need its stack */
    guest();
    finish(0);
}

static u32 interrupts_before;

void request_interrupt(void)
{
    interrupts_before = interrupts;
    outb(0x20, 0x11); /* both 8259s anew: nothing pending, vectors 0x20 and 0x28 */
    outb(0x21, 0x20);
    outb(0x21, 0x04);
    outb(0x21, 0x01);
    outb(0x21, 0xFE);
    outb(0x43, 0x30); /* 8254 channel 0, mode 0: one rising edge when the count is over */
    outb(0x40, 200);
    outb(0x40, 0);
}

u32 interrupts_taken(void)
{
    outb(0x20, 0x0A); /* read the request register */
    for (u32 turn = 0; turn < 1000000; turn++)
        if (interrupts != interrupts_before || (inb(0x20) & 1) != 0) break;
    for (u32 turn = 0; turn < 3; turn++) inb(0x20); /* let it be delivered, if it can be */
    outb(0x21, 0xFF);
    return interrupts - interrupts_before;
}
