/* A text screen and a serial line, as beginners' kernels have them. */
#pragma once
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

static inline void outb(u16 port, u8 value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
static inline void outw(u16 port, u16 value) { __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port)); }
static inline void outl(u16 port, u32 value) { __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port)); }
static inline u8 inb(u16 port) {
  u8 value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}
static inline u32 inl(u16 port) {
  u32 value;
  __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}
static inline void io_wait(void) { outb(0x80, 0); }

#ifndef VGA_BASE
#define VGA_BASE 0xB8000
#endif
#define VGA_WIDTH 80
#define VGA_HEIGHT 25

static u32 term_row, term_column;
static u8 term_color = 0x07;
static u8 term_serial;

static void term_move_cursor(void) {
  u16 at = term_row * VGA_WIDTH + term_column;
  outb(0x3D4, 0x0F);
  outb(0x3D5, at & 0xFF);
  outb(0x3D4, 0x0E);
  outb(0x3D5, at >> 8);
}

static void term_clear(void) {
  volatile u16 *cells = (volatile u16 *)VGA_BASE;
  for (u32 i = 0; i < VGA_WIDTH * VGA_HEIGHT; i++) cells[i] = ' ' | term_color << 8;
  term_row = term_column = 0;
  term_move_cursor();
}

static void term_scroll(void) {
  volatile u16 *cells = (volatile u16 *)VGA_BASE;
  for (u32 i = 0; i < VGA_WIDTH * (VGA_HEIGHT - 1); i++) cells[i] = cells[i + VGA_WIDTH];
  for (u32 i = 0; i < VGA_WIDTH; i++) cells[VGA_WIDTH * (VGA_HEIGHT - 1) + i] = ' ' | term_color << 8;
  term_row = VGA_HEIGHT - 1;
}

static void serial_init(void) {
  outb(0x3F8 + 1, 0x00);
  outb(0x3F8 + 3, 0x80);
  outb(0x3F8 + 0, 0x03);
  outb(0x3F8 + 1, 0x00);
  outb(0x3F8 + 3, 0x03);
  outb(0x3F8 + 2, 0xC7);
  outb(0x3F8 + 4, 0x0B);
  term_serial = 1;
}

static void putchar(char c) {
  volatile u16 *cells = (volatile u16 *)VGA_BASE;
  if (term_serial) {
    while (!(inb(0x3F8 + 5) & 0x20)) continue;
    outb(0x3F8, c);
  }
  if (c == '\n') term_column = 0, term_row++;
  else if (c == '\b') { if (term_column) term_column--; }
  else if (c == '\t') term_column = (term_column + 8) & ~7u;
  else cells[term_row * VGA_WIDTH + term_column++] = (u8)c | term_color << 8;
  if (term_column >= VGA_WIDTH) term_column = 0, term_row++;
  if (term_row >= VGA_HEIGHT) term_scroll();
  term_move_cursor();
}

static void puts(const char *s) {
  while (*s) putchar(*s++);
}

static void putnum(u32 value, u32 base, u32 width) {
  char buffer[33];
  u32 n = 0;
  do buffer[n++] = "0123456789ABCDEF"[value % base];
  while (value /= base);
  while (n < width) buffer[n++] = '0';
  while (n) putchar(buffer[--n]);
}

__attribute__((unused)) static void printf(const char *format, ...) {
  __builtin_va_list list;
  __builtin_va_start(list, format);
  for (; *format; format++) {
    if (*format != '%') { putchar(*format); continue; }
    u32 width = 0;
    for (format++; *format >= '0' && *format <= '9'; format++) width = width * 10 + *format - '0';
    if (*format == 's') puts(__builtin_va_arg(list, const char *));
    else if (*format == 'c') putchar(__builtin_va_arg(list, int));
    else if (*format == 'd' || *format == 'u') putnum(__builtin_va_arg(list, u32), 10, width);
    else if (*format == 'x') putnum(__builtin_va_arg(list, u32), 16, width);
    else putchar(*format);
  }
  __builtin_va_end(list);
}
