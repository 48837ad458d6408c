/* What programs have: system calls and a little library. */
#include "calls.h"
typedef unsigned char u8;
typedef unsigned int u32;

int fork(void), wait(int *status), kill(int id), getpid(void), sleep(int n), uptime(void);
void exit(int status) __attribute__((noreturn));
char *sbrk(int bytes);
int exec(const char *path, char *const *arguments), open(const char *name, int how), close(int d), dup(int d);
int read(int d, void *to, int count), write(int d, const void *from, int count), pipe(int *d), unlink(const char *name);
int size(int d), yield(void), power_off(int code);

int length(const char *s), same(const char *a, const char *b);
void print(int d, const char *format, ...); /* %d %x %s %c */
char *line(char *to, int room);             /* from descriptor 0; 0 at the end */
u32 number(const char *s);
