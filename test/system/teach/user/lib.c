/* The library of the programs. */
#include "user.h"

int length(const char *s) {
  int n = 0;
  while (s[n]) n++;
  return n;
}
int same(const char *a, const char *b) {
  while (*a && *a == *b) {
    a++;
    b++;
  }
  return *a == *b;
}
u32 number(const char *s) {
  u32 n = 0;
  while (*s >= '0' && *s <= '9') n = n * 10 + (*s++ - '0');
  return n;
}
/* Collects a call's text: one write, so lines of several processes do not mix. */
void print(int d, const char *format, ...) {
  const u32 *argument = (const u32 *)(const void *)&format + 1;
  char text[200], digits[12];
  int at = 0;
  for (; *format; format++) {
    if (*format != '%') {
      text[at++] = *format;
      continue;
    }
    u32 value = *argument++, base = *++format == 'x' ? 16 : 10;
    if (*format == 's') {
      for (const char *s = (const char *)value; *s; s++) text[at++] = *s;
    } else if (*format == 'c') {
      text[at++] = value;
    } else {
      if (base == 10 && (int)value < 0) {
        text[at++] = '-';
        value = -value;
      }
      int n = 0;
      do digits[n++] = "0123456789abcdef"[value % base];
      while (value /= base);
      while (n) text[at++] = digits[--n];
    }
  }
  write(d, text, at);
}
char *line(char *to, int room) {
  int n = 0;
  while (n + 1 < room) {
    char c;
    if (read(0, &c, 1) < 1) break;
    to[n++] = c;
    if (c == '\n') break;
  }
  to[n] = 0;
  return n ? to : 0;
}
