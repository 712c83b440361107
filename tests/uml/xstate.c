/* Lets User-mode Linux run on processors whose register state is larger than the buffer that it was built with.
 *
 * PTRACE_SETREGSET accepts only a whole NT_X86_XSTATE, which is 11 KB on processors with AMX. The kernel of the guest
 * saves and restores the first 2.7 KB, up to AVX-512. This library is preloaded into it, and leaves the rest as it is.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

typedef long (*function)(int, pid_t, void *, void *);

long ptrace(enum __ptrace_request request, ...)
{
	static function next;
	static _Alignas(64) char state[1 << 16];
	struct iovec whole = { state, sizeof state }, *part;
	va_list arguments;
	va_start(arguments, request);
	pid_t pid = va_arg(arguments, pid_t);
	void *address = va_arg(arguments, void *), *data = va_arg(arguments, void *);
	va_end(arguments);
	if (!next)
		next = (function)dlsym(RTLD_NEXT, "ptrace");
	if (request != PTRACE_SETREGSET || address != (void *)NT_X86_XSTATE)
		return next(request, pid, address, data);
	part = data;
	if (next(PTRACE_GETREGSET, pid, address, &whole) || part->iov_len >= whole.iov_len)
		return next(request, pid, address, data);
	memcpy(state, part->iov_base, part->iov_len);
	return next(request, pid, address, &whole);
}
