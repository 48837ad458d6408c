/* Numbers of the system calls: in EAX at INT 64, arguments on the stack above a return address. */
#define CALL_fork 1
#define CALL_exit 2
#define CALL_wait 3
#define CALL_kill 4
#define CALL_getpid 5
#define CALL_sbrk 6
#define CALL_sleep 7
#define CALL_uptime 8
#define CALL_exec 9
#define CALL_open 10
#define CALL_close 11
#define CALL_read 12
#define CALL_write 13
#define CALL_dup 14
#define CALL_pipe 15
#define CALL_unlink 16
#define CALL_size 17
#define CALL_yield 18
#define CALL_power_off 19
#define CALLS 20

#define OPEN_READ 1
#define OPEN_WRITE 2
#define OPEN_CREATE 4
#define OPEN_TRUNCATE 8
