/*
 * Ticks from the timer event, one deadline after the other, and the clock that needs no hypercall.
 * Invariant: ticks follow the clock: those that passed while this machine did not run are made up for.
 * Source: our own; docs/paravirtual.md.
 */
#include "../nano.h"

#define HZ_DEFAULT 100u
#define HZ_MIN 19u /* as in the other builds */
#define HZ_MAX 10000u
#define PIC1_DATA 0x21

u32 timer_hz = HZ_DEFAULT;
u32 ticks;
static u32 period_ns;
static u64 next_tick;

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

/* a * b >> 32 */
static u64 scale(u64 a, u32 b)
{
    u32 low = (u32)a, high = (u32)(a >> 32);

    return (u64)high * b + ((u64)low * b >> 32);
}

u64 pv_now(void)
{
    volatile struct pv_clock *clock = &pv_shared->clock;
    u64 tsc, now;
    u32 version;

    do {
        version = clock->version;
        __asm__ volatile("rdtsc" : "=A"(tsc) : : "memory");
        now = clock->system_time + scale((tsc - clock->tsc_stamp) << clock->shift, clock->mul);
    } while ((version & 1) || version != clock->version);
    return now;
}

static void set_deadline(void)
{
    if (hypercall(HC_SET_TIMER, (u32)next_tick, (u32)(next_tick >> 32), 0, 0))
        panic("timer refused");
}

void timer_init(void)
{
    parse_hz();
    /* Nothing here looks at the interrupt controller; what it masks is what the other builds leave there. */
    outb(PIC1_DATA, 0xFF);
}

void timer_start(void)
{
    if (!timer_hz)
        return;
    outb(PIC1_DATA, 0xFE);
    period_ns = 1000000000u / timer_hz;
    if (hypercall(HC_EVENT_CHANNEL_OP, EVENT_BIND_TIMER, 0, 0, 0) < 0)
        panic("no port for the timer");
    next_tick = pv_now() + period_ns;
    set_deadline();
}

/* Only one port is in use, so which one is pending need not be asked. */
void irq_acknowledge(u32 vector)
{
    (void)vector;
    pv_shared->pending = 0;
    pv_shared->ports = 0;
    if (!timer_hz)
        return;
    u64 now = pv_now();
    for (; next_tick <= now; next_tick += period_ns) {
        ticks++;
        task_tick();
    }
    set_deadline();
}
