/*
 * Asks the CPU, once at boot, about the state this kernel has just given it, and prints what it hears.
 * Invariant: on a real PC the line is always the same. Below ring 0 none of these instructions traps,
 *            so on a machine that merely de-privileges the kernel the line shows the host's state.
 * Source: Robin and Irvine, USENIX Security 2000 (the 17 sensitive instructions); Intel SDM volume 2.
 */
#include "nano.h"

#if defined NANO_CLEAN || defined NANO_PV || defined NANO_LMBENCH

/* The clean builds do without every one of them, so they have nothing to ask. */
void selfcheck(void)
{
#ifdef NANO_LMBENCH
    print("nano: microbenchmarks\n");
#else
    print("nano: clean build\n");
#endif
}

#else

/* Does IF follow CLI and STI, as PUSHF shows it, and does POPF end a critical section? */
static u32 interrupt_flag_works(void)
{
    irq_enable(); /* nothing can come: the interrupt controllers still mask every input */
    u32 after_sti = irq_save();
    u32 after_cli = irq_save();
    irq_restore(after_sti);
    u32 after_popf = irq_save();

    return (after_sti & EFLAGS_IF) && !(after_cli & EFLAGS_IF) && (after_popf & EFLAGS_IF);
}

static u32 kernel_segments_visible(void)
{
    u32 access = 0, limit = 0;
    u8 code_known, data_limit, readable, writable;

    __asm__ volatile("larl %2, %0; setz %1" : "+r"(access), "=q"(code_known) : "r"(SEL_KERNEL_CODE) : "cc");
    __asm__ volatile("lsll %2, %0; setz %1" : "+r"(limit), "=q"(data_limit) : "r"(SEL_KERNEL_DATA) : "cc");
    __asm__ volatile("verr %1; setz %0" : "=q"(readable) : "r"((u16)SEL_KERNEL_DATA) : "cc");
    __asm__ volatile("verw %1; setz %0" : "=q"(writable) : "r"((u16)SEL_KERNEL_DATA) : "cc");
    return code_known && (access & 0xFF00) == 0x9B00 && data_limit && limit == 0xFFFFFFFFu && readable && writable;
}

void selfcheck(void)
{
    struct table_pointer gdtr, idtr;
    u32 msw = 0, tr = 0, ldtr = 0, cs = 0;

    __asm__ volatile("sgdt %0" : "=m"(gdtr));
    __asm__ volatile("sidt %0" : "=m"(idtr));
    __asm__ volatile("smsw %0" : "+r"(msw));
    __asm__ volatile("str %0" : "+r"(tr));
    __asm__ volatile("sldt %0" : "+r"(ldtr));
    __asm__ volatile("movl %%cs, %0" : "+r"(cs));

    u32 gdt_own = gdtr.base == (u32)gdt && gdtr.limit == GDT_LIMIT;
    u32 idt_own = idtr.base == (u32)idt && idtr.limit == IDT_LIMIT;
    u32 msw_own = (msw & 0xF) == (CR0_PE | CR0_EM | CR0_TS);
    u32 flag_ok = interrupt_flag_works();
    u32 segments_ok = kernel_segments_visible();
    u32 all = gdt_own && idt_own && msw_own && flag_ok && segments_ok && (tr & 0xFFFF) == SEL_TSS &&
              !(ldtr & 0xFFFF) && !(cs & 3);

    print("nano: cpu %s gdt=%s idt=%s ldt=%x tr=%x msw=%x cpl=%u if=%s seg=%s\n", all ? "ok" : "LIES",
          gdt_own ? "own" : "OTHER", idt_own ? "own" : "OTHER", ldtr & 0xFFFF, tr & 0xFFFF, msw & 0xF, cs & 3,
          flag_ok ? "ok" : "STUCK", segments_ok ? "ok" : "HIDDEN");
}

#endif
