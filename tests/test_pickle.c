/* SPDX-License-Identifier: MIT
 *
 * The pickle machine, program by program. Real files are in test_checkpoint.c.
 */
#include "core/io/pickle.h"

#include "core/io/torch_object.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A string literal with its length, NULs and all. */
#define BYTES(text) (const uint8_t *)(text), sizeof(text) - 1

static struct arena arena;

static int clear_arena(void **state)
{
    (void)state;
    arena_clear(&arena);
    return 0;
}

static struct value *parse(const uint8_t *bytes, size_t size)
{
    struct error err = {0};
    struct pickle pickle;
    if (pickle_parse(&pickle, &arena, bytes, size, "memory", &err) != STATUS_OK) fail_msg("%s", err.text);
    assert_int_equal(pickle.end, size);
    return pickle.root;
}

static void numbers(void **state)
{
    (void)state;
    assert_int_equal(parse(BYTES("\x80\x02N."))->kind, VALUE_NONE);
    assert_int_equal(parse(BYTES("\x80\x02\x88."))->integer, 1);
    assert_int_equal(parse(BYTES("\x80\x02\x89."))->integer, 0);
    assert_int_equal(parse(BYTES("K\xff."))->integer, 255);
    assert_int_equal(parse(BYTES("M\xff\xff."))->integer, 65535);
    assert_int_equal(parse(BYTES("J\xfe\xff\xff\xff."))->integer, -2);
    assert_int_equal(parse(BYTES("\x8a\x00."))->integer, 0);
    assert_int_equal(parse(BYTES("\x8a\x01\x80."))->integer, -128);
    assert_int_equal(parse(BYTES("\x8a\x06\x00\x00\x00\x00\x00\x01."))->integer, INT64_C(1) << 40);
    assert_int_equal(parse(BYTES("\x8b\x02\x00\x00\x00\x00\x01."))->integer, 256);
    assert_int_equal(parse(BYTES("\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01."))->kind, VALUE_INERT);
    assert_true(parse(BYTES("G\xbf\xe0\x00\x00\x00\x00\x00\x00."))->real == -0.5);
}

static void strings(void **state)
{
    (void)state;
    assert_true(value_is_text(parse(BYTES("X\x02\x00\x00\x00hi.")), "hi"));
    assert_true(value_is_text(parse(BYTES("\x8c\x02hi.")), "hi"));
    assert_true(value_is_text(parse(BYTES("\x8d\x02\x00\x00\x00\x00\x00\x00\x00hi.")), "hi"));
    assert_true(value_is_text(parse(BYTES("U\x02hi.")), "hi"));
    assert_true(value_is_text(parse(BYTES("B\x02\x00\x00\x00hi.")), "hi"));
    assert_false(value_is_text(parse(BYTES("U\x02hi.")), "h"));
}

static void containers(void **state)
{
    (void)state;
    const struct value *v = parse(BYTES("K\x01K\x02\x86."));
    assert_int_equal(v->kind, VALUE_TUPLE);
    assert_int_equal(v->list.count, 2);
    assert_int_equal(v->list.items[1]->integer, 2);
    v = parse(BYTES("](K\x01K\x02K\x03"
                    "eK\x04"
                    "a."));
    assert_int_equal(v->kind, VALUE_LIST);
    assert_int_equal(v->list.count, 4);
    assert_int_equal(v->list.items[3]->integer, 4);
    v = parse(BYTES("}(U\x01"
                    "aK\x01U\x01"
                    "bK\x02uU\x01"
                    "aK\x03s."));
    assert_int_equal(v->kind, VALUE_DICT);
    assert_int_equal(value_get(v, "a")->integer, 3);
    assert_int_equal(value_get(v, "b")->integer, 2);
    assert_null(value_get(v, "c"));
    assert_int_equal(parse(BYTES("(K\x01K\x02t."))->list.count, 2);
    assert_int_equal(parse(BYTES("(K\x01K\x02l."))->kind, VALUE_LIST);
    assert_int_equal(parse(BYTES("(K\x01K\x02"
                                 "d."))
                         ->kind,
                     VALUE_DICT);
    assert_int_equal(parse(BYTES("\x8f(K\x01\x90."))->kind, VALUE_INERT);
    assert_int_equal(parse(BYTES("(K\x01\x91."))->kind, VALUE_INERT);
}

static void memo_and_stack(void **state)
{
    (void)state;
    const struct value *v = parse(BYTES("K\x07q\x00h\x00\x86."));
    assert_ptr_equal(v->list.items[0], v->list.items[1]);
    v = parse(BYTES("K\x07r\x01\x00\x00\x00j\x01\x00\x00\x00\x86."));
    assert_ptr_equal(v->list.items[0], v->list.items[1]);
    v = parse(BYTES("K\x07\x94"
                    "2\x86K\x05"
                    "0(K\x01"
                    "1."));
    assert_int_equal(v->list.items[1]->integer, 7);
    v = parse(BYTES("]q\x00h\x00"
                    "a.")); /* a list that holds itself */
    assert_ptr_equal(v->list.items[0], v);
}

static void ordered_dicts(void **state)
{
    (void)state;
    const struct value *v = parse(BYTES("ccollections\nOrderedDict\n)Rq\x00(U\x01"
                                        "aK\x01u}U\x09_metadataNsb."));
    assert_int_equal(v->kind, VALUE_DICT);
    assert_int_equal(value_get(v, "a")->integer, 1);
    v = parse(BYTES("\x8c\x0b"
                    "collections\x8c\x0bOrderedDict\x93)\x81."));
    assert_int_equal(v->kind, VALUE_DICT);
}

#define STORAGE                                                                                                        \
    "(U\x07storagectorch\nHalfStorage\nU\x01"                                                                          \
    "0U\x03"                                                                                                           \
    "cpuK\x06tQ"
#define REBUILD "ctorch._utils\n_rebuild_tensor_v2\n"

static void tensors(void **state)
{
    (void)state;
    const struct value *v = parse(BYTES(REBUILD "(" STORAGE "K\x01K\x02K\x02\x86K\x02K\x01\x86\x89NtR."));
    assert_int_equal(v->kind, VALUE_TENSOR);
    const struct torch_tensor *t = v->tensor;
    assert_int_equal(t->offset, 1);
    assert_int_equal(t->rank, 2);
    assert_int_equal(t->dim[1], 2);
    assert_int_equal(t->stride[0], 2);
    assert_int_equal(t->storage->dtype, DTYPE_F16);
    assert_int_equal(t->storage->count, 6);
    assert_memory_equal(t->storage->key, "0", t->storage->key_size);
}

/* What lies beside the weights of published checkpoints is neither executed nor kept. */
static void inert_values(void **state)
{
    (void)state;
    assert_int_equal(parse(BYTES("cnumpy.core.multiarray\nscalar\nU\x01xK\x01\x86R."))->kind, VALUE_INERT);
    assert_int_equal(parse(BYTES("cpytorch_lightning.callbacks.model_checkpoint\nModelCheckpoint\n."))->kind,
                     VALUE_GLOBAL);
    assert_int_equal(parse(BYTES("c__builtin__\nset\n]K\x01"
                                 "a\x85R}b."))
                         ->kind,
                     VALUE_INERT);
    assert_int_equal(parse(BYTES("(cargparse\nNamespace\nK\x01o}U\x01xK\x01sb."))->kind, VALUE_INERT);
    assert_int_equal(parse(BYTES("(iargparse\nNamespace\n."))->kind, VALUE_INERT);
}

static const struct {
    const uint8_t *bytes;
    size_t size;
    enum status status;
    const char *words;
} lies[] = {
    {BYTES(""), STATUS_FORMAT, "ends too soon"},
    {BYTES("\x80"), STATUS_FORMAT, "ends too soon"},
    {BYTES("\x80\x09N."), STATUS_FORMAT, "newer than 5"},
    {BYTES("N"), STATUS_FORMAT, "ends too soon"},
    {BYTES("."), STATUS_FORMAT, "the stack is empty"},
    {BYTES("K"), STATUS_FORMAT, "ends too soon"},
    {BYTES("U\x05hi."), STATUS_FORMAT, "goes past the end"},
    {BYTES("X\xff\xff\xff\xffhi."), STATUS_FORMAT, "goes past the end"},
    {BYTES("\x8d\xff\xff\xff\xff\xff\xff\xff\xffhi."), STATUS_FORMAT, "goes past the end"},
    {BYTES("\x8b\xff\xff\xff\x7f."), STATUS_FORMAT, "goes past the end"},
    {BYTES("0."), STATUS_FORMAT, "the stack is empty"},
    {BYTES("2."), STATUS_FORMAT, "the stack is empty"},
    {BYTES("1."), STATUS_FORMAT, "a mark is missing"},
    {BYTES("t."), STATUS_FORMAT, "a mark is missing"},
    {BYTES("N(0."), STATUS_FORMAT, "the stack is empty"},
    {BYTES("N(\x85."), STATUS_FORMAT, "too few items"},
    {BYTES("N\x86."), STATUS_FORMAT, "too few items"},
    {BYTES("NNa."), STATUS_FORMAT, "cannot hold them"},
    {BYTES("]NNs."), STATUS_FORMAT, "cannot hold them"},
    {BYTES("(Nd."), STATUS_FORMAT, "a key without a value"},
    {BYTES("}(Nu."), STATUS_FORMAT, "a key without a value"},
    {BYTES("Nr\xff\xff\xff\xff."), STATUS_FORMAT, "memo number is too large"},
    {BYTES("h\x00."), STATUS_FORMAT, "memo number is not in use"},
    {BYTES("Nq\x02h\x01."), STATUS_FORMAT, "memo number is not in use"},
    {BYTES("ccollections"), STATUS_FORMAT, "a line has no end"},
    {BYTES("NN\x93."), STATUS_FORMAT, "name is not a string"},
    {BYTES("cos\nsystem\nU\x02ls\x85R."), STATUS_UNSUPPORTED, "'os.system'"},
    {BYTES("cbuiltins\neval\n."), STATUS_UNSUPPORTED, "'builtins.eval'"},
    {BYTES("c__builtin__\ngetattr\n."), STATUS_UNSUPPORTED, "'__builtin__.getattr'"},
    {BYTES("\x8c\x02os\x8c\x06system\x93."), STATUS_UNSUPPORTED, "'os.system'"},
    {BYTES("(ios\nsystem\n."), STATUS_UNSUPPORTED, "'os.system'"},
    {BYTES("ccollections\nOrderedDict.x\n."), STATUS_UNSUPPORTED, "'collections.OrderedDict.x'"},
    {BYTES("cpytorch_lightning.callbacksx\nX\n."), STATUS_UNSUPPORTED, "callbacksx.X"},
    {BYTES("ctorch._utils\n_rebuild_tensor_v3\n."), STATUS_UNSUPPORTED, "_rebuild_tensor_v3"},
    {BYTES("c\x1b[2J\n\x07\n."), STATUS_UNSUPPORTED, "'?[2J.?'"},
    {BYTES("N)R."), STATUS_FORMAT, "not a function"},
    {BYTES("ccollections\nOrderedDict\nNR."), STATUS_FORMAT, "not a function"},
    {BYTES("ccollections\nOrderedDict\n]\x85R."), STATUS_FORMAT, "made from arguments"},
    {BYTES("ctorch\nFloatStorage\n)R."), STATUS_FORMAT, "without its data"},
    {BYTES("(o."), STATUS_FORMAT, "has no class"},
    {BYTES("K\x01}b."), STATUS_FORMAT, "state is given"},
    {BYTES("NQ."), STATUS_FORMAT, "does not name a storage"},
    {BYTES("(U\x06moduleNNNNtQ."), STATUS_FORMAT, "does not name a storage"},
    {BYTES("(U\x07storageNU\x01"
           "0U\x03"
           "cpuK\x06tQ."),
     STATUS_FORMAT, "no element type"},
    {BYTES("(U\x07storageccollections\nOrderedDict\nU\x01"
           "0NK\x06tQ."),
     STATUS_FORMAT, "no element type"},
    {BYTES(REBUILD ")R."), STATUS_FORMAT, "not made from a storage"},
    {BYTES(REBUILD "(" STORAGE "J\xff\xff\xff\xffK\x02\x85K\x01\x85\x89NtR."), STATUS_FORMAT, "not made from"},
    {BYTES(REBUILD "(" STORAGE "K\x01K\x02\x85K\x01K\x01\x86\x89NtR."), STATUS_FORMAT, "do not match"},
    {BYTES(REBUILD "(" STORAGE "K\x01J\xff\xff\xff\xff\x85K\x01\x85\x89NtR."), STATUS_FORMAT, "at least 0"},
    {BYTES(REBUILD "(" STORAGE "K\x01(NNNNNNNNNt(NNNNNNNNNt\x89NtR."), STATUS_UNSUPPORTED, "9 dimensions"},
    {BYTES("ctorch._utils\n_rebuild_parameter\nN\x85R."), STATUS_FORMAT, "not made from a tensor"},
    {BYTES("I1\n."), STATUS_FORMAT, "0x49 is no operation"},
    {BYTES("P1\n."), STATUS_FORMAT, "0x50 is no operation"},
    {BYTES("\x82\x01."), STATUS_FORMAT, "0x82 is no operation"},
};

static void refuses_lies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        struct error err = {0};
        struct pickle pickle;
        if (pickle_parse(&pickle, &arena, lies[i].bytes, lies[i].size, "bad", &err) == STATUS_OK)
            fail_msg("case %zu was read, but expected: %s", i, lies[i].words);
        if (err.status != lies[i].status || !strstr(err.text, lies[i].words))
            fail_msg("case %zu: %s '%s' instead of '%s'", i, status_name(err.status), err.text, lies[i].words);
        assert_memory_equal(err.text, "bad: ", 5);
    }
}

/* A megabyte of one operation: no stack overflow, no quadratic time, memory in proportion. */
static void takes_long_programs(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    static const char operations[] = "](}N\x8f)\x88";
    uint8_t *bytes = memory_alloc(SIZE + 1);
    for (size_t i = 0; i < sizeof operations - 1; i++) {
        struct error err = {0};
        struct pickle pickle;
        memset(bytes, operations[i], SIZE);
        bytes[SIZE] = '.';
        const enum status status = pickle_parse(&pickle, &arena, bytes, SIZE + 1, "long", &err);
        assert_int_equal(status, operations[i] == '(' ? STATUS_FORMAT : STATUS_OK);
        arena_clear(&arena);
    }
    for (size_t i = 0; i < SIZE; i++) bytes[i] = i < SIZE / 2 ? ']' : 'a'; /* [[[[...]]]] */
    bytes[SIZE - 1] = '.';
    assert_non_null(parse(bytes, SIZE));
    memory_free(bytes);
}

static void survives_lack_of_memory(void **state)
{
    (void)state;
    static const char program[] = "}(U\x01"
                                  "a" REBUILD "(" STORAGE "K\x01K\x02\x85K\x01\x85\x89NtRq\x00u.";
    for (uint64_t n = 1;; n++) {
        struct error err = {0};
        struct pickle pickle;
        memory_fail_after(n);
        const enum status status = pickle_parse(&pickle, &arena, BYTES(program), "memory", &err);
        memory_fail_after(0);
        arena_clear(&arena);
        if (status == STATUS_OK) break;
        assert_int_equal(status, STATUS_NO_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(numbers, clear_arena),
        cmocka_unit_test_teardown(strings, clear_arena),
        cmocka_unit_test_teardown(containers, clear_arena),
        cmocka_unit_test_teardown(memo_and_stack, clear_arena),
        cmocka_unit_test_teardown(ordered_dicts, clear_arena),
        cmocka_unit_test_teardown(tensors, clear_arena),
        cmocka_unit_test_teardown(inert_values, clear_arena),
        cmocka_unit_test_teardown(refuses_lies, clear_arena),
        cmocka_unit_test_teardown(takes_long_programs, clear_arena),
        cmocka_unit_test_teardown(survives_lack_of_memory, clear_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
