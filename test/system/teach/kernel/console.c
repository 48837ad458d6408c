/* The console: serial line and text screen together, serial line and keyboard together. */
#include "kernel.h"

#define COM1 0x3f8
static struct spinlock console = {.name = "console"};
static int has_serial, unlocked;

/* ---------------------------------------------------------------- serial line */

void serial_init(void) {
  out8(COM1 + 2, 0); /* no FIFO */
  out8(COM1 + 3, 0x80);
  out8(COM1 + 0, 115200 / 9600);
  out8(COM1 + 1, 0);
  out8(COM1 + 3, 0x03);
  out8(COM1 + 4, 0);
  out8(COM1 + 1, 0x01); /* interrupts when something was received */
  if (in8(COM1 + 5) == 0xff) return; /* nobody there */
  has_serial = 1;
  in8(COM1 + 2);
  in8(COM1 + 0);
  ioapic_enable(IRQ_SERIAL, 0);
  print("teach kernel\n");
}
static void serial_put(int c) {
  if (!has_serial) return;
  for (int i = 0; i < 128 && !(in8(COM1 + 5) & 0x20); i++) {}
  out8(COM1 + 0, c);
}
static int serial_get(void) {
  if (!has_serial || !(in8(COM1 + 5) & 1)) return -1;
  return in8(COM1 + 0);
}

/* ---------------------------------------------------------------- screen */

#define CRTC 0x3d4
static u16 *const screen = (u16 *)TO_VIRT(0xb8000);
#define ERASE 0x100

static void screen_put(int c) {
  out8(CRTC, 14);
  u32 at = in8(CRTC + 1) << 8;
  out8(CRTC, 15);
  at |= in8(CRTC + 1);
  if (c == '\n') at += 80 - at % 80;
  else if (c == ERASE) at -= at > 0;
  else screen[at++] = (c & 0xff) | 0x0700;
  if (at > 25 * 80) panic("cursor");
  if (at / 80 >= 24) {
    copy(screen, screen + 80, sizeof screen[0] * 23 * 80);
    at -= 80;
    fill(screen + at, 0, sizeof screen[0] * (24 * 80 - at));
  }
  out8(CRTC, 14);
  out8(CRTC + 1, at >> 8);
  out8(CRTC, 15);
  out8(CRTC + 1, at);
  screen[at] = ' ' | 0x0700;
}
static void put(int c) {
  if (c == ERASE) {
    serial_put('\b');
    serial_put(' ');
    serial_put('\b');
  } else {
    serial_put(c);
  }
  screen_put(c);
}

/* ---------------------------------------------------------------- print */

static void put_number(u32 value, u32 base, int negative) {
  char digits[12];
  int n = 0;
  do digits[n++] = "0123456789abcdef"[value % base];
  while (value /= base);
  if (negative) put('-');
  while (n--) put(digits[n]);
}
/* Knows %d, %x, %s. */
void print(const char *format, ...) {
  u32 *argument = (u32 *)(void *)&format + 1;
  int locking = !unlocked;
  if (locking) lock(&console);
  for (; *format; format++) {
    if (*format != '%') {
      put(*format);
      continue;
    }
    u32 value = *argument++;
    switch (*++format) {
      case 'd': put_number((int)value < 0 ? -value : value, 10, (int)value < 0); break;
      case 'x': put_number(value, 16, 0); break;
      case 's':
        for (const char *s = (const char *)value; *s; s++) put(*s);
        break;
    }
  }
  if (locking) unlock(&console);
}
void panic(const char *why) {
  cli();
  unlocked = 1;
  print("panic on CPU with APIC %d: %s\n", lapic_id(), why);
  out8(0xf4, 99); /* where there is such a port the machine ends */
  for (;;) {}
}

/* ---------------------------------------------------------------- input */

#define INPUT 128
static struct { char text[INPUT]; u32 read, written, edited; } input; /* read <= written <= edited */
#define CONTROL(c) ((c) - '@')

static void take(int (*get)(void)) {
  int c;
  lock(&console);
  while ((c = get()) >= 0) {
    if (c == CONTROL('U') || c == CONTROL('H') || c == 0x7f) {
      while (input.edited != input.written && input.text[(input.edited - 1) % INPUT] != '\n') {
        input.edited--;
        put(ERASE);
        if (c != CONTROL('U')) break;
      }
    } else if (c != 0 && input.edited - input.read < INPUT) {
      if (c == '\r') c = '\n';
      input.text[input.edited++ % INPUT] = c;
      put(c);
      if (c == '\n' || c == CONTROL('D') || input.edited == input.read + INPUT) {
        input.written = input.edited;
        wakeup(&input.read);
      }
    }
  }
  unlock(&console);
}
void serial_interrupt(void) { take(serial_get); }

/* Scan codes of set 1, of the keys that have characters. */
static const char plain[] = "\0\0331234567890-=\b\tqwertyuiop[]\n\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 ";
static const char shifted[] = "\0\033!@#$%^&*()_+\b\tQWERTYUIOP{}\n\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0*\0 ";
static int keyboard_get(void) {
  static int shift, control;
  if (!(in8(0x64) & 1)) return -1;
  u8 code = in8(0x60);
  int down = !(code & 0x80);
  code &= 0x7f;
  if (code == 0x2a || code == 0x36) shift = down;
  if (code == 0x1d) control = down;
  if (!down || code >= sizeof plain - 1) return 0;
  char c = shift ? shifted[code] : plain[code];
  return control && c >= 'a' && c <= 'z' ? c - 'a' + 1 : c;
}
void keyboard_interrupt(void) { take(keyboard_get); }

int console_read(char *to, int count) {
  int n = 0;
  lock(&console);
  while (n < count) {
    while (input.read == input.written) {
      if (self()->killed) {
        unlock(&console);
        return -1;
      }
      sleep(&input.read, &console);
    }
    char c = input.text[input.read++ % INPUT];
    if (c == CONTROL('D')) {
      if (n > 0) input.read--; /* so that the next read sees the end */
      break;
    }
    to[n++] = c;
    if (c == '\n') break;
  }
  unlock(&console);
  return n;
}
int console_write(const char *from, int count) {
  lock(&console);
  for (int i = 0; i < count; i++) put(from[i]);
  unlock(&console);
  return count;
}
void console_init(void) { ioapic_enable(IRQ_KEYBOARD, 0); }
