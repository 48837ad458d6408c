/* The shell: commands with arguments, < and >, | and ; and a trailing &. */
#include "user.h"

#define WORDS 16
static char text[128];

/* Splits off the part before one of these characters; answers what stopped it and where the rest begins. */
static char part(char **rest, const char *stops) {
  for (char *s = *rest; *s; s++) {
    for (const char *stop = stops; *stop; stop++) {
      if (*s != *stop) continue;
      *s = 0;
      *rest = s + 1;
      return *stop;
    }
  }
  *rest += length(*rest);
  return 0;
}
static int words_of(char *s, char **words) {
  int n = 0;
  while (n < WORDS - 1) {
    while (*s == ' ' || *s == '\t' || *s == '\n') *s++ = 0;
    if (!*s) break;
    words[n++] = s;
    if (*s == '<' || *s == '>') s++;
    else while (*s && *s != ' ' && *s != '\t' && *s != '\n' && *s != '<' && *s != '>') s++;
  }
  words[n] = 0;
  return n;
}
static void redirect(int d, const char *name, int how) {
  close(d);
  if (open(name, how) != d) {
    print(2, "sh: cannot open %s\n", name);
    exit(1);
  }
}
/* Becomes the command. */
static void run(char *command) {
  char *words[WORDS], *arguments[WORDS];
  char sign[WORDS];
  int n = words_of(command, words), count = 0;
  for (int i = 0; i < n; i++) sign[i] = words[i][0];
  for (int i = 0; i < n; i++) {
    if (sign[i] == '<' && i + 1 < n) redirect(0, words[++i], OPEN_READ);
    else if (sign[i] == '>' && i + 1 < n) redirect(1, words[++i], OPEN_WRITE | OPEN_CREATE | OPEN_TRUNCATE);
    else arguments[count++] = words[i];
  }
  arguments[count] = 0;
  if (count == 0) exit(0);
  exec(arguments[0], arguments);
  print(2, "sh: cannot run %s\n", arguments[0]);
  exit(1);
}
/* Becomes the parent of the commands of a line with |, or the command. */
static void pipeline(char *command) {
  char *rest = command;
  int ends[2], status;
  while (part(&rest, "|") != 0) {
    pipe(ends);
    if (fork() == 0) {
      close(1);
      dup(ends[1]);
      close(ends[0]);
      close(ends[1]);
      run(command);
    }
    command = rest;
    if (fork() == 0) {
      close(0);
      dup(ends[0]);
      close(ends[0]);
      close(ends[1]);
      continue;
    }
    close(ends[0]);
    close(ends[1]);
    wait(&status);
    wait(&status);
    exit(0);
  }
  run(command);
}

int main(void) {
  for (;;) {
    print(1, "$ ");
    if (!line(text, sizeof text)) exit(0);
    for (char *rest = text; *rest;) {
      char *command = rest, stop = part(&rest, ";&");
      int status, id = fork();
      if (id < 0) print(2, "sh: fork failed\n");
      if (id == 0) {
        if (stop != '&') pipeline(command);
        if (fork() == 0) pipeline(command); /* an orphan: init waits for it */
        exit(0);
      }
      while (id >= 0 && wait(&status) != id) {}
    }
  }
}
