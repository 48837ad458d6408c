/* The first kernel of every tutorial: a greeting on the text screen, and nothing else. */
#include "term.h"

void kernel_main(void) {
  term_color = 0x0A;
  term_clear();
  puts("Hello, kernel world!\n");
  for (int i = 0; i < 16; i++) {
    term_color = i ? i : 8;
    puts("colour ");
  }
  term_color = 0x07;
  puts("\n\ttab\n");
  for (int line = 1; line <= 30; line++) {
    puts("line ");
    putnum(line, 10, 0);
    puts(line % 3 ? "\n" : ", a third one, and long enough to go over the right edge of a screen of 80 columns\n");
  }
  puts("end of the screen\b\b\b\b\b\bSCREEN");
}
