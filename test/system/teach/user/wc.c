/* Counts lines, words and characters of what it reads. */
#include "user.h"

int main(void) {
  int lines = 0, words = 0, characters = 0, in_word = 0, n;
  static char block[64];
  while ((n = read(0, block, sizeof block)) > 0) {
    for (int i = 0; i < n; i++) {
      int space = block[i] == ' ' || block[i] == '\n';
      lines += block[i] == '\n';
      words += !space && !in_word;
      in_word = !space;
    }
    characters += n;
  }
  print(1, "%d %d %d\n", lines, words, characters);
  exit(0);
}
