/* naio_count: a QEMU TCG plugin that counts guest instructions between marks.
 *
 * It receives every translated block and every executed mark, and hands on lines of text in the file `out=`.
 * It changes nothing in the guest.
 *
 * A MARK is the no-op `nopl 0x524947NN(%rax)`, bytes 0f 1f 80 NN 47 49 52 (naio_sys::mark). This is the one
 * place that says what the numbers mean:
 *
 *   1  a measured run begins: the accounts of all vCPUs are written to the file
 *   2  the measured run ends: the same
 *   3  a turn of an event loop begins: its vCPU remembers its counters
 *   4  that turn found nothing: what its vCPU counted since mark 3 is ADDED to the account of empty turns
 *
 * A turn that found work executes mark 3 and no mark 4. Marks 3 and 4 may come a million times a second, so they
 * write no line; the account of empty turns is a column of the lines of marks 1 and 2. All accounts only grow:
 * whoever reads the file subtracts the line of mark 1 from the line of mark 2.
 *
 * WHAT IS COUNTED. Each executed instruction counts one, as user or kernel by the highest bit of its address.
 * A string instruction with a `rep` prefix is not in that figure at all: TCG runs it as one block for each
 * iteration, so what it would add is its length and not its cost. Its iterations and the bytes they move are
 * columns of their own. An instruction that faults counts with the rest of its block (a block is counted when it
 * is entered), a few in a million; at a mark the part of the block behind the mark is taken off, so that marks
 * are exact.
 *
 * Line: mark <n> vcpu <i> user <n> kernel <n> rep_user <n> rep_kernel <n> rep_bytes_user <n> rep_bytes_kernel <n>
 *       empty_turns <n> empty_user <n> empty_kernel <n>
 *
 * QEMU's plugin header is not part of the distribution's package, so the few functions used are declared here, as
 * docs/devel/tcg-plugins and include/qemu/qemu-plugin.h of QEMU document them. NAIO_QEMU_API is the version of
 * that interface: 1 (QEMU 4.2 to 8), 2 (9.0), 3 and later copy an instruction's bytes instead of lending them.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#ifndef NAIO_QEMU_API
#define NAIO_QEMU_API 1
#endif

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void (*tb_trans_cb)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*vcpu_udata_cb)(unsigned, void *);
enum { QEMU_PLUGIN_CB_NO_REGS = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, tb_trans_cb);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, vcpu_udata_cb, int, void *);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, vcpu_udata_cb, int, void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
#if NAIO_QEMU_API >= 3
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *, void *, size_t);
#else
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
#endif

EXPORT int qemu_plugin_version = NAIO_QEMU_API;

enum { VCPUS_MAX = 16, INSN_BYTES_MAX = 15, USER = 0, KERNEL = 1 };

struct account {
    uint64_t insns[2];
    uint64_t rep[2];
    uint64_t rep_bytes[2];
    uint64_t turn_start[2];
    uint64_t empty[2];
    uint64_t empty_turns;
    bool in_turn;
    /* One vCPU thread writes one account: no two accounts share a cache line. */
} __attribute__((aligned(128)));

static struct account accounts[VCPUS_MAX];
static FILE *out;

/* A block's instructions, its privilege and its trailing `rep` element size, packed into the callback's pointer. */
#define BLOCK(insns, rep_size, level) ((uintptr_t)(insns) << 8 | (uintptr_t)(rep_size) << 1 | (uintptr_t)(level))
/* A mark's number, its privilege and how many counted instructions of its block stand behind it. */
#define MARK(behind, number, level) ((uintptr_t)(behind) << 16 | (uintptr_t)(number) << 1 | (uintptr_t)(level))

static void on_block(unsigned vcpu, void *packed)
{
    uintptr_t p = (uintptr_t)packed;
    unsigned level = p & 1, rep_size = (p >> 1) & 0x7f;
    struct account *a = &accounts[vcpu % VCPUS_MAX];

    a->insns[level] += p >> 8;
    if (rep_size) {
        a->rep[level]++;
        a->rep_bytes[level] += rep_size;
    }
}

static void write_accounts(unsigned number, unsigned vcpu_here, unsigned level, uint64_t behind)
{
    for (unsigned i = 0; i < VCPUS_MAX; i++) {
        const struct account *a = &accounts[i];
        uint64_t insns[2] = { a->insns[USER], a->insns[KERNEL] };

        if (!insns[USER] && !insns[KERNEL]) {
            continue;
        }
        if (i == vcpu_here) {
            insns[level] -= behind;
        }
        fprintf(out,
                "mark %u vcpu %u user %" PRIu64 " kernel %" PRIu64 " rep_user %" PRIu64 " rep_kernel %" PRIu64
                " rep_bytes_user %" PRIu64 " rep_bytes_kernel %" PRIu64 " empty_turns %" PRIu64
                " empty_user %" PRIu64 " empty_kernel %" PRIu64 "\n",
                number, i, insns[USER], insns[KERNEL], a->rep[USER], a->rep[KERNEL], a->rep_bytes[USER],
                a->rep_bytes[KERNEL], a->empty_turns, a->empty[USER], a->empty[KERNEL]);
    }
    fflush(out);
}

static void on_mark(unsigned vcpu, void *packed)
{
    uintptr_t p = (uintptr_t)packed;
    unsigned level = p & 1, number = (p >> 1) & 0xff, here = vcpu % VCPUS_MAX;
    uint64_t behind = p >> 16;
    struct account *a = &accounts[here];
    uint64_t now[2] = { a->insns[USER], a->insns[KERNEL] };

    now[level] -= behind;
    switch (number) {
    case 3:
        a->turn_start[USER] = now[USER];
        a->turn_start[KERNEL] = now[KERNEL];
        a->in_turn = true;
        break;
    case 4:
        /* A turn that moved to another vCPU, or a 4 without its 3, is not an account of anything. */
        if (a->in_turn) {
            a->empty[USER] += now[USER] - a->turn_start[USER];
            a->empty[KERNEL] += now[KERNEL] - a->turn_start[KERNEL];
            a->empty_turns++;
            a->in_turn = false;
        }
        break;
    default:
        write_accounts(number, here, level, behind);
    }
}

/* Element size of a `rep` string instruction, or 0 (Intel SDM vol. 2, REP and the instruction formats in 2.1). */
static unsigned rep_element_size(const uint8_t *bytes, size_t len)
{
    bool rep = false, wide = false, half = false;
    size_t i = 0;

    for (; i < len; i++) {
        uint8_t b = bytes[i];
        if (b == 0xf3 || b == 0xf2) {
            rep = true;
        } else if (b == 0x66) {
            half = true;
        } else if (b != 0x67 && b != 0x2e && b != 0x36 && b != 0x3e && b != 0x26 && b != 0x64 && b != 0x65) {
            break;
        }
    }
    if (i < len && (bytes[i] & 0xf0) == 0x40) { /* REX; bit 3 is W */
        wide = bytes[i] & 8;
        i++;
    }
    if (!rep || i >= len) {
        return 0;
    }
    switch (bytes[i]) {
    case 0xa4: case 0xa6: case 0xaa: case 0xac: case 0xae: /* movs cmps stos lods scas, bytes */
        return 1;
    case 0xa5: case 0xa7: case 0xab: case 0xad: case 0xaf: /* the same, words */
        return wide ? 8 : half ? 2 : 4;
    }
    return 0;
}

static size_t insn_bytes(const struct qemu_plugin_insn *insn, uint8_t bytes[INSN_BYTES_MAX])
{
    size_t len = qemu_plugin_insn_size(insn);

    len = len < INSN_BYTES_MAX ? len : INSN_BYTES_MAX;
#if NAIO_QEMU_API >= 3
    return qemu_plugin_insn_data(insn, bytes, len);
#else
    memcpy(bytes, qemu_plugin_insn_data(insn), len);
    return len;
#endif
}

static bool is_mark(const uint8_t *b, size_t len)
{
    return len == 7 && b[0] == 0x0f && b[1] == 0x1f && b[2] == 0x80 && b[4] == 'G' && b[5] == 'I' && b[6] == 'R';
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    size_t n = qemu_plugin_tb_n_insns(tb), counted = n;
    unsigned level = qemu_plugin_tb_vaddr(tb) >> 63 ? KERNEL : USER, rep_size = 0;
    uint8_t bytes[INSN_BYTES_MAX];

    (void)id;
    /* TCG ends a block behind a `rep` instruction, so only the last one can be one. */
    if (n) {
        size_t len = insn_bytes(qemu_plugin_tb_get_insn(tb, n - 1), bytes);
        rep_size = rep_element_size(bytes, len);
        counted = rep_size ? n - 1 : n;
    }
    for (size_t i = 0; i < counted; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        size_t len = insn_bytes(insn, bytes);
        if (is_mark(bytes, len)) {
            /* The mark itself stands behind the mark: a run does not count its own marks. */
            void *mark = (void *)MARK(counted - i, bytes[3], level);
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_mark, QEMU_PLUGIN_CB_NO_REGS, mark);
        }
    }
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, QEMU_PLUGIN_CB_NO_REGS,
                                         (void *)BLOCK(counted, rep_size, level));
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "out=", 4)) {
            out = fopen(argv[i] + 4, "w");
        }
    }
    if (!out) {
        fprintf(stderr, "naio_count: cannot open the file given by out=\n");
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    return 0;
}
