/* IDE disk 1 by programmed I/O, and the buffers through which everything goes. Sources: ATA-5; AT technical reference. */
#include "kernel.h"

#define BASE 0x1f0
#define CONTROL 0x3f6
#define BUSY 0x80
#define READY 0x40
#define FAULT 0x20
#define FAILED 0x01
#define READ_SECTORS 0x20
#define WRITE_SECTORS 0x30
#define DISK 1

static struct spinlock disk = {.name = "disk"};
static struct buffer *queue; /* the disk works on its head */

static int disk_wait(int check) {
  u8 status;
  while (((status = in8(BASE + 7)) & (BUSY | READY)) != READY) {}
  return check && status & (FAULT | FAILED) ? -1 : 0;
}
void disk_init(void) {
  ioapic_enable(IRQ_DISK, cpu_count - 1);
  disk_wait(0);
  out8(BASE + 6, 0xe0 | DISK << 4);
  int found = 0;
  for (int i = 0; i < 1000 && !found; i++) found = in8(BASE + 7) != 0;
  if (!found) panic("no disk 1");
  out8(BASE + 6, 0xe0 | 0 << 4);
}
static void disk_start(struct buffer *b) {
  disk_wait(0);
  out8(CONTROL, 0); /* with interrupts */
  out8(BASE + 2, 1);
  out8(BASE + 3, b->number);
  out8(BASE + 4, b->number >> 8);
  out8(BASE + 5, b->number >> 16);
  out8(BASE + 6, 0xe0 | DISK << 4 | (b->number >> 24 & 0xf));
  if (b->dirty) {
    out8(BASE + 7, WRITE_SECTORS);
    out_words(BASE, b->data, BLOCK / 4);
  } else {
    out8(BASE + 7, READ_SECTORS);
  }
}
void disk_interrupt(void) {
  lock(&disk);
  struct buffer *b = queue;
  if (b) {
    queue = b->waiting;
    if (!b->dirty && disk_wait(1) >= 0) in_words(BASE, b->data, BLOCK / 4);
    b->valid = 1;
    b->dirty = 0;
    wakeup(b);
    if (queue) disk_start(queue);
  }
  unlock(&disk);
}
static void disk_transfer(struct buffer *b) {
  lock(&disk);
  b->waiting = NULL;
  struct buffer **end = &queue;
  while (*end) end = &(*end)->waiting;
  *end = b;
  if (queue == b) disk_start(b);
  while (!b->valid || b->dirty) sleep(b, &disk);
  unlock(&disk);
}

/* ---------------------------------------------------------------- buffers */

static struct spinlock buffers_lock = {.name = "buffers"};
static struct buffer buffers[BUFFERS], list; /* ring; the last used is list.next */

static void put_first(struct buffer *b) {
  b->next = list.next;
  b->previous = &list;
  list.next->previous = b;
  list.next = b;
}
void buffers_init(void) {
  list.next = list.previous = &list;
  for (int i = 0; i < BUFFERS; i++) put_first(&buffers[i]);
}
static struct buffer *buffer_of(u32 number) {
  struct buffer *b;
  lock(&buffers_lock);
  for (b = list.next; b != &list; b = b->next) {
    if (b->number == number && (b->users || b->valid)) break;
  }
  if (b == &list) {
    for (b = list.previous; b != &list && (b->users || b->dirty); b = b->previous) {}
    if (b == &list) panic("no buffer");
    b->number = number;
    b->valid = b->dirty = 0;
  }
  b->users++;
  unlock(&buffers_lock);
  sleep_lock(&b->lock);
  return b;
}
/* The buffer belongs to the caller until it is released. */
struct buffer *block_read(u32 number) {
  struct buffer *b = buffer_of(number);
  if (!b->valid) disk_transfer(b);
  return b;
}
void block_write(struct buffer *b) {
  b->dirty = 1;
  disk_transfer(b);
}
void block_release(struct buffer *b) {
  sleep_unlock(&b->lock);
  lock(&buffers_lock);
  if (--b->users == 0) {
    b->next->previous = b->previous;
    b->previous->next = b->next;
    put_first(b);
  }
  unlock(&buffers_lock);
}
