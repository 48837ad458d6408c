/*
 * The two interrupt controllers, moved away from the exception vectors, and the periodic timer.
 * Invariant: only IRQ 0 is ever unmasked, and only when the command line asks for hz > 0.
 * Source: Intel 8259A data sheet (ICW1-4, OCW2); Intel 8254 data sheet (mode 2); PC/AT port numbers.
 */
#include "nano.h"

#define PIC1_COMMAND 0x20
#define PIC1_DATA 0x21
#define PIC2_COMMAND 0xA0
#define PIC2_DATA 0xA1
#define ICW1_INIT_ICW4 0x11
#define ICW4_8086 0x01
#define OCW2_END_OF_INTERRUPT 0x20
#define OCW3_READ_IN_SERVICE 0x0B
#define VECTOR_IRQ7 (VECTOR_IRQ0 + 7)
#define VECTOR_IRQ8 (VECTOR_IRQ0 + 8)

#define PIT_CHANNEL0 0x40
#define PIT_COMMAND 0x43
#define PIT_CHANNEL0_RATE 0x34 /* channel 0, low then high byte, mode 2 (rate generator), binary */
#define PIT_INPUT_HZ 1193182u
#define HZ_DEFAULT 100u
#define HZ_MIN 19u /* the divisor has 16 bits */
#define HZ_MAX 10000u

u32 timer_hz = HZ_DEFAULT;
u32 ticks;

static void parse_hz(void)
{
    const char *line = command_line;
    const char *value;
    char word[32];

    while (word_next(&line, word, sizeof word))
        if (word_has_key(word, "hz", &value))
            if (!parse_number(value, &timer_hz) || timer_hz > HZ_MAX || (timer_hz && timer_hz < HZ_MIN))
                usage("hz must be 0 or 19..10000");
}

void timer_init(void)
{
    parse_hz();
    outb(PIC1_COMMAND, ICW1_INIT_ICW4);
    outb(PIC2_COMMAND, ICW1_INIT_ICW4);
    outb(PIC1_DATA, VECTOR_IRQ0);
    outb(PIC2_DATA, VECTOR_IRQ8);
    outb(PIC1_DATA, 0x04); /* the second controller hangs on input 2 */
    outb(PIC2_DATA, 0x02);
    outb(PIC1_DATA, ICW4_8086);
    outb(PIC2_DATA, ICW4_8086);
    outb(PIC1_DATA, 0xFF);
    outb(PIC2_DATA, 0xFF);
}

void timer_start(void)
{
    if (!timer_hz)
        return;
    u32 divisor = PIT_INPUT_HZ / timer_hz;
    outb(PIT_COMMAND, PIT_CHANNEL0_RATE);
    outb(PIT_CHANNEL0, (u8)divisor);
    outb(PIT_CHANNEL0, (u8)(divisor >> 8));
    outb(PIC1_DATA, 0xFE);
}

/* Input 7 also answers for a request that vanished before it was served: that one has no EOI. */
static int is_spurious(u32 vector)
{
    if (vector != VECTOR_IRQ7)
        return 0;
    outb(PIC1_COMMAND, OCW3_READ_IN_SERVICE);
    return !(inb(PIC1_COMMAND) & 0x80);
}

void irq_acknowledge(u32 vector)
{
    if (is_spurious(vector))
        return;
    if (vector >= VECTOR_IRQ8)
        outb(PIC2_COMMAND, OCW2_END_OF_INTERRUPT);
    outb(PIC1_COMMAND, OCW2_END_OF_INTERRUPT);
    if (vector == VECTOR_IRQ0) {
        ticks++;
        task_tick();
    }
}
