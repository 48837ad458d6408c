/* Prints its arguments. */
#include "user.h"

int main(int count, char **arguments) {
  for (int i = 1; i < count; i++) print(1, "%s%c", arguments[i], i + 1 < count ? ' ' : '\n');
  exit(0);
}
