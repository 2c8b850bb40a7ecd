/* SPDX-License-Identifier: MIT
 *
 * idle.c - what the virtual machine does when it has nothing to do (see boot.sh): without a C library.
 *
 * Its clocks count instructions. Where its processor halted they would jump to the next timer at once,
 * also while somebody waits for the host to read a file, and a second of that would be minutes. So
 * it never halts: this runs at the lowest rank of all, through blocks of instructions that do nothing
 * and cost the emulator little, so that idle time passes a few times faster than it does outside.
 */
#include <sys/syscall.h>

#define SCHED_IDLE 5

void _start(void);
void _start(void)
{
	static const int rank = 0; /* struct sched_param */
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(SYS_sched_setscheduler), "D"(0), "S"(SCHED_IDLE), "d"(&rank)
			 : "rcx", "r11", "memory");
	for (;;)
		__asm__ volatile(".rept 48\n\tnop\n\t.endr");
}
