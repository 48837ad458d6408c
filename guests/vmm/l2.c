/*
 * The guest of the guest (L2): a tiny kernel without a word of where it runs. It computes, or makes one kind of exit n times.
 * Invariant: touches nothing outside its section but FORBIDDEN, on purpose, and then through its own fault handler.
 */
#include "vmm.h"

static u32 gdt[6], idt[32 * 2];
volatile u32 l2_faults;
extern void l2_fault(void);

static u32 call(u32 number, u32 argument)
{
    u32 answer;
    __asm__ volatile("vmcall" : "=a"(answer), "+b"(argument) : "a"(number) : "memory");
    return answer;
}

/* Numbers of primes below a bound, by trial division: work that needs nobody. */
static u32 compute(u32 rounds)
{
    u32 sum = 0;
    for (u32 round = 0; round < rounds; round++)
        for (u32 n = 2; n < 200; n++) {
            u32 d = 2;
            while (d * d <= n && n % d != 0)
                d++;
            if (d * d > n)
                sum = sum * 31 + n + round;
        }
    return sum;
}

static u32 cpuid(void)
{
    u32 eax = 0, ebx, ecx, edx;
    __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx));
    return ebx ^ ecx ^ edx;
}

/* Own tables, and a handler for page faults that steps over a two-byte instruction. */
static void set_up_faults(void)
{
    static const u32 flat[6] = { 0, 0, 0xFFFF, 0x00CF9B00, 0xFFFF, 0x00CF9300 };
    struct { u16 pad, limit; u32 base; } pointer;
    for (u32 i = 0; i < 6; i++)
        gdt[i] = flat[i];
    pointer.limit = sizeof gdt - 1;
    pointer.base = (u32)gdt;
    __asm__ volatile("lgdt %0" : : "m"(pointer.limit), "m"(pointer.base));
    idt[28] = (CODE_SEL << 16) | ((u32)l2_fault & 0xFFFF);
    idt[29] = ((u32)l2_fault & 0xFFFF0000) | 0x8E00;
    pointer.limit = sizeof idt - 1;
    pointer.base = (u32)idt;
    __asm__ volatile("lidt %0" : : "m"(pointer.limit), "m"(pointer.base));
}

static void touch(u32 address) { __asm__ volatile("movl %%eax, (%%ecx)" : : "c"(address), "a"(1) : "memory"); }

void l2_main(u32 workload, u32 n)
{
    u32 result = 0;
    switch (workload) {
    case WORK_COMPUTE:
        result = compute(n);
        break;
    case WORK_CPUID:
        while (n-- != 0)
            result = result * 31 + cpuid();
        break;
    case WORK_VMCALL:
        while (n-- != 0)
            result = call(CALL_NULL, result);
        break;
    case WORK_OUT:
        while (n-- != 0)
            outb(0x80, (u8)(result += n));
        break;
    case WORK_IN:
        while (n-- != 0)
            result = result * 31 + inb(0x21);
        break;
    case WORK_FAULT:
        set_up_faults();
        while (n-- != 0)
            touch(FORBIDDEN + 4 * n);
        result = l2_faults;
        break;
    case WORK_TICK: /* L1 counts the ticks, and ends it */
        for (;;)
            __asm__ volatile("hlt");
    case WORK_ESCAPE: /* no handler: ends in a triple fault of L2 */
        touch(FORBIDDEN);
        break;
    default:
        set_up_faults();
        while (n-- != 0) {
            result = result * 31 + compute(1) + cpuid();
            result = call(CALL_NULL, result) ^ inb(0x21);
            outb(0x80, (u8)result);
            touch(FORBIDDEN);
        }
        result += l2_faults;
    }
    call(CALL_DONE, result);
}
