/* calibrate: a program whose instructions are known, to see that naio_count counts them.
 *
 * No libc and no compiler's freedom: each loop is two instructions an iteration. Between marks 1 and 2 it runs
 *
 *   1000000 iterations in no turn, then three turns: 10000 iterations, empty (mark 4); 20000, not empty;
 *   30000, empty; then 4096 iterations of `rep stosb`.
 *
 * So 2 * 1060000 user instructions and a few more, of which 2 * 40000 and a few in two empty turns.
 */
#define MARK(n) ".byte 0x0f, 0x1f, 0x80, " #n ", 0x47, 0x49, 0x52\n"
#define LOOP(n) "mov $" #n ", %ecx\n1: dec %ecx\n jnz 1b\n"

__asm__(".globl _start\n"
        "_start:\n"
        MARK(1)
        LOOP(1000000)
        MARK(3) LOOP(10000) MARK(4)
        MARK(3) LOOP(20000)
        MARK(3) LOOP(30000) MARK(4)
        "lea room(%rip), %rdi\n"
        "xor %eax, %eax\n"
        "mov $4096, %ecx\n"
        "rep stosb\n"
        MARK(2)
        "mov $60, %eax\n" /* exit(0) */
        "xor %edi, %edi\n"
        "syscall\n");

char room[4096];
