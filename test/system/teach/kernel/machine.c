/* The machine of several CPUs: MP table, local APICs, I/O APIC. Sources: MultiProcessor Specification 1.4; SDM volume 3,
 * chapters 8 and 10; Intel 82093AA data sheet. */
#include "kernel.h"

struct cpu cpus[CPUS];
int cpu_count;
static u8 ioapic_id;
static volatile u32 *lapic;
static volatile struct { u32 index, unused[3], data; } *ioapic;

/* ---------------------------------------------------------------- MP table */

struct pointer { char signature[4]; u32 table; u8 length, revision, sum, type, imcr, reserved[3]; };
struct table {
  char signature[4];
  u16 length;
  u8 version, sum;
  char product[20];
  u32 oem_table;
  u16 oem_length, entries;
  u32 lapic;
  u16 extended_length;
  u8 extended_sum, reserved;
};
struct cpu_entry { u8 type, apic_id, version, flags; u32 signature, features, reserved[2]; };
struct ioapic_entry { u8 type, apic_id, version, flags; u32 address; };

static u8 sum(const u8 *at, u32 count) {
  u8 s = 0;
  while (count--) s += *at++;
  return s;
}
static struct pointer *look_in(u32 from, u32 count) {
  u8 *start = TO_VIRT(from);
  for (u8 *p = start; p < start + count; p += sizeof(struct pointer)) {
    if (same((char *)p, "_MP_", 4) && sum(p, sizeof(struct pointer)) == 0) return (struct pointer *)p;
  }
  return NULL;
}
/* First kilobyte of the extended BIOS data area, or else the last of base memory; then the BIOS. */
static struct pointer *look(void) {
  u8 *bios = TO_VIRT(0x400);
  u32 at = (u32)(bios[0x0f] << 8 | bios[0x0e]) << 4;
  struct pointer *p;
  if (at) {
    if ((p = look_in(at, 1024))) return p;
  } else {
    at = (u32)(bios[0x14] << 8 | bios[0x13]) * 1024;
    if ((p = look_in(at - 1024, 1024))) return p;
  }
  return look_in(0xf0000, 0x10000);
}

void mp_read(void) {
  struct pointer *p = look();
  if (!p || !p->table) panic("no MP table");
  struct table *t = TO_VIRT(p->table);
  if (!same(t->signature, "PCMP", 4) || (t->version != 1 && t->version != 4)) panic("MP table: strange");
  if (sum((u8 *)t, t->length) != 0) panic("MP table: wrong sum");
  lapic = (volatile u32 *)t->lapic;
  for (u8 *at = (u8 *)(t + 1), *end = (u8 *)t + t->length; at < end;) {
    switch (*at) {
      case 0:
        if (cpu_count < CPUS) cpus[cpu_count++].apic_id = ((struct cpu_entry *)at)->apic_id;
        at += sizeof(struct cpu_entry);
        break;
      case 2:
        ioapic_id = ((struct ioapic_entry *)at)->apic_id;
        ioapic = (void *)((struct ioapic_entry *)at)->address;
        at += sizeof(struct ioapic_entry);
        break;
      case 1:
      case 3:
      case 4: at += 8; break;
      default: panic("MP table: unknown entry");
    }
  }
  if (!cpu_count || !ioapic) panic("MP table: not a multiprocessor");
  if (p->imcr) {
    /* The interrupt mode configuration register: mask the path around the APIC. */
    out8(0x22, 0x70);
    out8(0x23, in8(0x23) | 1);
  }
}

/* ---------------------------------------------------------------- local APIC */

#define ID 0x20
#define VERSION 0x30
#define TASK_PRIORITY 0x80
#define END 0xb0
#define SPURIOUS 0xf0
#define ERROR_STATUS 0x280
#define COMMAND_LOW 0x300
#define COMMAND_HIGH 0x310
#define TIMER 0x320
#define COUNTERS 0x340
#define LINT0 0x350
#define LINT1 0x360
#define ERROR 0x370
#define TIMER_COUNT 0x380
#define TIMER_DIVIDE 0x3e0

#define MASKED 0x10000
#define PERIODIC 0x20000
#define BY_ONE 0xb
#define INIT 0x500
#define STARTUP 0x600
#define PENDING 0x1000
#define ASSERT 0x4000
#define LEVEL 0x8000
#define TO_ALL 0x80000

static void lapic_set(u32 reg, u32 value) {
  lapic[reg / 4] = value;
  (void)lapic[ID / 4]; /* waits until the write is done */
}

void lapic_init(void) {
  lapic_set(SPURIOUS, 0x100 | (VECTOR_IRQ + IRQ_SPURIOUS));
  lapic_set(TIMER_DIVIDE, BY_ONE);
  lapic_set(TIMER, PERIODIC | (VECTOR_IRQ + IRQ_TIMER));
  lapic_set(TIMER_COUNT, 10000000);
  lapic_set(LINT0, MASKED);
  lapic_set(LINT1, MASKED);
  if ((lapic[VERSION / 4] >> 16 & 0xff) >= 4) lapic_set(COUNTERS, MASKED);
  lapic_set(ERROR, VECTOR_IRQ + IRQ_ERROR);
  lapic_set(ERROR_STATUS, 0);
  lapic_set(ERROR_STATUS, 0);
  lapic_set(END, 0);
  lapic_set(COMMAND_HIGH, 0);
  lapic_set(COMMAND_LOW, TO_ALL | INIT | LEVEL); /* de-assert: arbitration identities become the identities */
  while (lapic[COMMAND_LOW / 4] & PENDING) {}
  lapic_set(TASK_PRIORITY, 0);
}
int lapic_id(void) { return lapic ? (int)(lapic[ID / 4] >> 24) : 0; }
void lapic_end(void) {
  if (lapic) lapic_set(END, 0);
}

static void delay(void) {} /* real hardware wants 10 ms and 200 us; emulators want nothing */

/* The universal start-up algorithm: shutdown code "jump by 40:67" for old BIOSes, INIT, twice STARTUP. */
void ap_start(u8 apic_id, u32 at) {
  out8(0x70, 0xf);
  out8(0x71, 0x0a);
  u16 *vector = TO_VIRT(0x40 << 4 | 0x67);
  vector[0] = 0;
  vector[1] = at >> 4;
  lapic_set(COMMAND_HIGH, (u32)apic_id << 24);
  lapic_set(COMMAND_LOW, INIT | LEVEL | ASSERT);
  delay();
  lapic_set(COMMAND_LOW, INIT | LEVEL);
  delay();
  for (int i = 0; i < 2; i++) {
    lapic_set(COMMAND_HIGH, (u32)apic_id << 24);
    lapic_set(COMMAND_LOW, STARTUP | at >> 12);
    delay();
  }
}

/* ---------------------------------------------------------------- I/O APIC and 8259 */

static u32 ioapic_get(u32 reg) {
  ioapic->index = reg;
  return ioapic->data;
}
static void ioapic_set(u32 reg, u32 value) {
  ioapic->index = reg;
  ioapic->data = value;
}
void ioapic_init(void) {
  u32 last = ioapic_get(1) >> 16 & 0xff;
  if (ioapic_get(0) >> 24 != ioapic_id) print("I/O APIC: identity is not that of the MP table\n");
  for (u32 i = 0; i <= last; i++) {
    ioapic_set(0x10 + 2 * i, MASKED | (VECTOR_IRQ + i)); /* edge, active high, physical destination */
    ioapic_set(0x10 + 2 * i + 1, 0);
  }
}
void ioapic_enable(int irq, int cpu) {
  ioapic_set(0x10 + 2 * irq, VECTOR_IRQ + irq);
  ioapic_set(0x10 + 2 * irq + 1, (u32)cpus[cpu].apic_id << 24);
}
void pic_init(void) {
  out8(0x21, 0xff);
  out8(0xa1, 0xff);
}
