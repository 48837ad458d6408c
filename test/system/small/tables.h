/* GDT, IDT with stubs for 32 exceptions and 16 interrupts, remapped PIC. The kernel defines isr_handler and irq_handler. */
#pragma once
#include "term.h"

struct registers {
  u32 ds;
  u32 edi, esi, ebp, esp, ebx, edx, ecx, eax;
  u32 number, error;
  u32 eip, cs, eflags, useresp, ss;
};
static void isr_handler(struct registers *r);
static void irq_handler(struct registers *r);
__attribute__((used)) static void interrupt_entry(struct registers *r) {
  if (r->number < 32) {
    isr_handler(r);
    return;
  }
  if (r->number >= 40) outb(0xA0, 0x20);
  outb(0x20, 0x20);
  irq_handler(r);
}

extern char interrupt_stubs[];
__asm__(R"(
        .text
        .balign 16
interrupt_stubs:
        .set n, 0
        .rept 48
        .balign 16
        .if !(n == 8 || (n >= 10 && n <= 14) || n == 17)
        push $0
        .endif
        push $n
        jmp interrupt_common
        .set n, n + 1
        .endr
interrupt_common:
        pusha
        mov %ds, %ax
        push %eax
        mov $0x10, %ax
        mov %ax, %ds
        mov %ax, %es
        mov %ax, %fs
        mov %ax, %gs
        push %esp
        call interrupt_entry
        add $4, %esp
        pop %eax
        mov %ax, %ds
        mov %ax, %es
        mov %ax, %fs
        mov %ax, %gs
        popa
        add $8, %esp
        iret
)");

struct gdt_entry {
  u16 limit_low, base_low;
  u8 base_middle, access, granularity, base_high;
} __attribute__((packed));
struct idt_entry {
  u16 base_low, selector;
  u8 zero, flags;
  u16 base_high;
} __attribute__((packed));
struct table_pointer {
  u16 limit;
  u32 base;
} __attribute__((packed));

static struct gdt_entry gdt[5];
static struct idt_entry idt[256];

static void gdt_set(u32 n, u32 base, u32 limit, u8 access, u8 granularity) {
  gdt[n].base_low = base & 0xFFFF;
  gdt[n].base_middle = base >> 16 & 0xFF;
  gdt[n].base_high = base >> 24;
  gdt[n].limit_low = limit & 0xFFFF;
  gdt[n].granularity = (limit >> 16 & 0x0F) | (granularity & 0xF0);
  gdt[n].access = access;
}

static void gdt_install(void) {
  struct table_pointer pointer = {sizeof gdt - 1, (u32)gdt};
  gdt_set(0, 0, 0, 0, 0);
  gdt_set(1, 0, 0xFFFFFFFF, 0x9A, 0xCF);
  gdt_set(2, 0, 0xFFFFFFFF, 0x92, 0xCF);
  gdt_set(3, 0, 0xFFFFFFFF, 0xFA, 0xCF);
  gdt_set(4, 0, 0xFFFFFFFF, 0xF2, 0xCF);
  __asm__ volatile(
      "lgdt %0\n ljmp $0x08, $1f\n 1: mov $0x10, %%ax\n mov %%ax, %%ds\n mov %%ax, %%es\n mov %%ax, %%fs\n"
      " mov %%ax, %%gs\n mov %%ax, %%ss"
      : : "m"(pointer) : "eax", "memory");
}

static void idt_install(void) {
  struct table_pointer pointer = {sizeof idt - 1, (u32)idt};
  for (u32 n = 0; n < 48; n++) {
    u32 at = (u32)interrupt_stubs + 16 * n;
    idt[n].base_low = at & 0xFFFF;
    idt[n].base_high = at >> 16;
    idt[n].selector = 0x08;
    idt[n].flags = 0x8E;
  }
  outb(0x20, 0x11), io_wait(), outb(0xA0, 0x11), io_wait();
  outb(0x21, 0x20), io_wait(), outb(0xA1, 0x28), io_wait();
  outb(0x21, 0x04), io_wait(), outb(0xA1, 0x02), io_wait();
  outb(0x21, 0x01), io_wait(), outb(0xA1, 0x01), io_wait();
  outb(0x21, 0xFF), outb(0xA1, 0xFF);
  __asm__ volatile("lidt %0" : : "m"(pointer));
}
