/* Ends the machine, with a code. */
#include "user.h"

int main(int count, char **arguments) {
  power_off(count > 1 ? number(arguments[1]) : 0);
  exit(0);
}
