/* Addresses, selectors and vectors that C and assembler share. */
#define KERNEL_BASE 0x80000000 /* where physical address 0 appears */
#define EXTENDED 0x100000      /* start of extended memory: the kernel is there */
#define PHYS_TOP 0x1000000     /* memory above is not used */
#define DEVICES 0xfe000000     /* mapped as it is, up to 4 GiB */
#define AP_CODE 0x7000         /* where the other CPUs start */
#define PAGE 4096
#define KSTACK 4096

#define SEL_KCODE 0x08
#define SEL_KDATA 0x10
#define SEL_KCPU 0x18 /* the data of the CPU, by GS */
#define SEL_UCODE 0x23
#define SEL_UDATA 0x2b
#define SEL_TSS 0x30

#define CR0_PE 0x1
#define CR0_WP 0x10000
#define CR0_PG 0x80000000
#define CR4_PSE 0x10

#define VECTOR_SYSCALL 64
#define VECTOR_IRQ 32
#define IRQ_TIMER 0
#define IRQ_KEYBOARD 1
#define IRQ_SERIAL 4
#define IRQ_DISK 14
#define IRQ_ERROR 19
#define IRQ_SPURIOUS 31
