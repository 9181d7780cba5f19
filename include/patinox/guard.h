/* SPDX-License-Identifier: MIT */
/**
 * @file guard.h
 * A *guard* is a small value on the stack that owns one resource: reserve → arm → drop, take or
 * close. When it leaves scope, its resource goes to the registry's workers: that costs nanoseconds,
 * allocates nothing and cannot fail.
 *
 *     static pnx_status close_fd(int fd, const pnx_release *why) { … return PNX_OK; }
 *     PNX_KIND(file, int, close_fd, .priority = PNX_HIGH, .timeout = PNX_S(1));
 *
 *     pnx_auto(file) f = pnx_reserve(file, registry, err);     // may fail: nothing is acquired yet
 *     if (f.status) return f.status;
 *     if (!pnx_arm(&f, open(path, O_RDONLY))) return pnx_fail(err, PNX_EFAILED, "%s: %m", path);
 *     read(pnx_get(&f), …);
 *
 * The traps, so that nobody has to find them:
 *   - Declare and reserve in one statement. Guards are dropped in reverse order of declaration, so
 *     a guard declared early and filled late is dropped too late.
 *   - A guard runs on return, break, goto out of scope and falling off the end. It does not run on
 *     longjmp, exit, abort or a fatal signal, and on pthread_exit and pthread_cancel only where the
 *     code is compiled with -fexceptions (then PNX_GUARDS_SURVIVE_CANCEL is 1). What a guard misses
 *     the registry finds: at shutdown the resource is told as leaked, with its place, and released.
 *   - Do not jump over a guard's declaration into its scope (-Wjump-misses-init tells).
 *   - A copy of a guard is not a second owner: use pnx_move.
 *   - One guard belongs to one thread at a time; hand it over by pnx_move and your own
 *     synchronisation.
 */
#ifndef PATINOX_GUARD_H
#define PATINOX_GUARD_H

#include <patinox/registry.h>
#include <string.h>

#ifdef __EXCEPTIONS
#define PNX_GUARDS_SURVIVE_CANCEL 1
#else
#define PNX_GUARDS_SURVIVE_CANCEL 0
#endif

#ifdef __cplusplus
extern "C" {
#endif

struct pnx__slot;

/** What every typed guard begins with. Zeroed: it owns nothing, and dropping it does nothing. */
typedef struct pnx_guard {
    pnx_registry *registry;
    struct pnx__slot *slot;
    uint32_t generation;
} pnx_guard;

/* What the macros below call. Not for direct use. */
PNX_MUST_CHECK PNX_API pnx_status pnx__guard_reserve(pnx_guard *guard, pnx_registry *registry,
                                                     const pnx_kind *kind, const pnx_site *site,
                                                     pnx_error *err);
PNX_API bool pnx__guard_arm(pnx_guard *guard, uint64_t a, uint64_t b, uint64_t c);
PNX_API void pnx__guard_drop(pnx_guard *guard);
PNX_API bool pnx__guard_take(pnx_guard *guard);
PNX_API pnx_status pnx__guard_close(pnx_guard *guard, pnx_time deadline, pnx_error *err);
PNX_API pnx_id pnx__guard_id(const pnx_guard *guard);

static inline void pnx__guard_cleanup(void *typed_guard)
{
    pnx_guard *guard = (pnx_guard *)typed_guard; /* the first member of every typed guard */
    if (guard->slot)
        pnx__guard_drop(guard);
}

enum pnx__class { PNX__OTHER, PNX__POINTER, PNX__INT };

/* An absent value acquires nothing: a null pointer, a negative int (a descriptor that is none). */
static inline bool pnx__value_absent(const void *value, size_t size, enum pnx__class value_class)
{
    if (value_class == PNX__POINTER) {
        const void *pointer;
        memcpy(&pointer, value, sizeof pointer);
        return pointer == NULL;
    }
    if (value_class == PNX__INT) {
        int number;
        memcpy(&number, value, sizeof number);
        return number < 0;
    }
    (void)size;
    return false;
}

static inline void pnx__value_clear(void *value, size_t size, enum pnx__class value_class)
{
    memset(value, value_class == PNX__INT ? 0xff : 0, size);
}

static inline bool pnx__guard_arm_value(pnx_guard *guard, const void *value, size_t size,
                                        enum pnx__class value_class)
{
    uint64_t words[PNX_VALUE_MAX / 8] = {0, 0, 0};
    if (pnx__value_absent(value, size, value_class))
        return false;
    memcpy(words, value, size);
    return pnx__guard_arm(guard, words[0], words[1], words[2]);
}

#ifdef __cplusplus
}
#endif

/**
 * PNX_KIND(name, type, release, .field = value, …) defines at file scope
 *   name_kind    a `const pnx_kind *` to a static descriptor,
 *   name_guard   the guard type, with members `status` (of the reserve) and `value`.
 * `type` is the type of what is held (at most PNX_VALUE_MAX bytes), `release` and the optional
 * `.fallback` are `pnx_status (*)(type, const pnx_release *)`, the optional `.describe` is
 * `int (*)(type, char *, size_t)`; the other fields are those of pnx_kind, in any order in C, in
 * the order of declaration in C++ (which needs C++20, or GNU C++17, for the designators).
 */
#ifndef __cplusplus
#define PNX_KIND(NAME, TYPE, ...)                                                                  \
    typedef __typeof__(TYPE) NAME##_value;                                                         \
    PNX__GUARD_TYPE(NAME)                                                                          \
    typedef union NAME##__descriptor {                                                             \
        pnx_kind kind;                                                                             \
        __extension__ struct {                                                                     \
            PNX__KIND_FIELDS;                                                                      \
            pnx_status (*fallback)(NAME##_value, const pnx_release *);                             \
            int (*describe)(NAME##_value, char *, size_t);                                         \
            pnx_release_fn pnx__release;                                                           \
            pnx_release_fn pnx__run_fallback;                                                      \
            pnx_describe_fn pnx__run_describe;                                                     \
            pnx_status (*release)(NAME##_value, const pnx_release *);                              \
        };                                                                                         \
    } NAME##__descriptor;                                                                          \
    static const NAME##__descriptor NAME##__kind;                                                  \
    PNX__KIND_THUNKS(NAME, NAME##__kind)                                                           \
    static const NAME##__descriptor NAME##__kind = {.name = #NAME,                                 \
                                                    .value_size = sizeof(NAME##_value),            \
                                                    .pnx__release = NAME##__release,               \
                                                    .pnx__run_fallback = NAME##__run_fallback,     \
                                                    .pnx__run_describe = NAME##__run_describe,     \
                                                    .release = __VA_ARGS__};                       \
    static const pnx_kind *const NAME##_kind __attribute__((unused)) = &NAME##__kind.kind
#else
#define PNX_KIND(NAME, TYPE, ...)                                                                  \
    typedef __typeof__(TYPE) NAME##_value;                                                         \
    PNX__GUARD_TYPE(NAME)                                                                          \
    struct NAME##__options {                                                                       \
        pnx_status (*release)(NAME##_value, const pnx_release *);                                  \
        PNX__KIND_FIELDS;                                                                          \
        pnx_status (*fallback)(NAME##_value, const pnx_release *) = nullptr;                       \
        int (*describe)(NAME##_value, char *, size_t) = nullptr;                                   \
    };                                                                                             \
    static constexpr NAME##__options NAME##__kind = {.release = __VA_ARGS__};                      \
    PNX__KIND_THUNKS(NAME, NAME##__kind)                                                           \
    static const pnx_kind NAME##__descriptor = {#NAME,                                             \
                                                NAME##__kind.priority,                             \
                                                NAME##__kind.flags,                                \
                                                NAME##__kind.timeout,                              \
                                                NAME##__kind.retries,                              \
                                                NAME##__kind.retry_delay,                          \
                                                NAME##__kind.retry_delay_max,                      \
                                                NAME##__kind.max_concurrency,                      \
                                                NAME##__kind.on_fork,                              \
                                                sizeof(NAME##_value),                              \
                                                NAME##__kind.fallback ? pnx__something : nullptr,  \
                                                NAME##__kind.describe ? pnx__something : nullptr,  \
                                                NAME##__release,                                   \
                                                NAME##__run_fallback,                              \
                                                NAME##__run_describe};                             \
    static const pnx_kind *const NAME##_kind __attribute__((unused)) = &NAME##__descriptor
static inline void pnx__something(void)
{
}
#endif

#ifdef __cplusplus
#define PNX__STATIC_ASSERT static_assert
#define PNX__ZERO                                                                                  \
    {                                                                                              \
    }
#else
#define PNX__STATIC_ASSERT _Static_assert
#define PNX__ZERO                                                                                  \
    {                                                                                              \
        0                                                                                          \
    }
#endif

#define PNX__GUARD_TYPE(NAME)                                                                      \
    PNX__STATIC_ASSERT(sizeof(NAME##_value) <= PNX_VALUE_MAX,                                      \
                       #NAME ": a value has at most PNX_VALUE_MAX bytes; hold a pointer to it");   \
    typedef struct NAME##_guard {                                                                  \
        pnx_guard base;                                                                            \
        pnx_status status;                                                                         \
        NAME##_value value;                                                                        \
    } NAME##_guard;

/* The registry hands over raw bytes; copying them out keeps alignment and aliasing right. */
#define PNX__KIND_THUNKS(NAME, KIND)                                                               \
    static pnx_status NAME##__release(void *bytes, const pnx_release *why)                         \
    {                                                                                              \
        NAME##_value value;                                                                        \
        memcpy(&value, bytes, sizeof value);                                                       \
        return KIND.release(value, why);                                                           \
    }                                                                                              \
    static pnx_status NAME##__run_fallback(void *bytes, const pnx_release *why)                    \
    {                                                                                              \
        NAME##_value value;                                                                        \
        memcpy(&value, bytes, sizeof value);                                                       \
        return KIND.fallback ? KIND.fallback(value, why) : PNX_EUNSUPPORTED;                       \
    }                                                                                              \
    static int NAME##__run_describe(const void *bytes, char *buffer, size_t size)                  \
    {                                                                                              \
        NAME##_value value;                                                                        \
        memcpy(&value, bytes, sizeof value);                                                       \
        return KIND.describe ? KIND.describe(value, buffer, size) : 0;                             \
    }

/** A guard variable that is dropped when it leaves scope: `pnx_auto(file) f = pnx_reserve(…);` */
#define pnx_auto(NAME) __attribute__((cleanup(pnx__guard_cleanup))) NAME##_guard

/**
 * Reserves all that the release will need and answers the guard; its `status` says how it went:
 * PNX_ENOMEM, PNX_ELIMIT (resources_max), PNX_ESHUTDOWN, PNX_EINVAL. `err` may be NULL.
 */
#define pnx_reserve(NAME, registry, err)                                                           \
    (__extension__({                                                                               \
        NAME##_guard pnx__new = PNX__ZERO;                                                         \
        pnx__new.status =                                                                          \
            pnx__guard_reserve(&pnx__new.base, (registry), NAME##_kind, PNX_HERE, (err));          \
        pnx__new;                                                                                  \
    }))

/**
 * Puts the acquired thing in: from here on it will be given back. False, with nothing registered
 * and errno as it was, when `thing` is a null pointer or a negative int (the acquisition failed),
 * or when the guard is not reserved. A `thing` of another type does not compile.
 */
#ifndef __cplusplus
#define pnx_arm(guard, thing)                                                                      \
    (__extension__({                                                                               \
        __typeof__(guard) pnx__g = (guard);                                                        \
        __typeof__(((void)0, (thing))) pnx__thing = (thing);                                       \
        _Static_assert(                                                                            \
            __builtin_types_compatible_p(__typeof__(pnx__thing), __typeof__(pnx__g->value)) ||     \
                (__builtin_types_compatible_p(__typeof__(pnx__thing), void *) &&                   \
                 PNX__CLASS(pnx__g->value) == PNX__POINTER),                                       \
            "pnx_arm: the thing is not of the type that the guard's kind holds");                  \
        pnx__g->value = pnx__thing;                                                                \
        pnx__guard_arm_value(&pnx__g->base, &pnx__g->value, sizeof pnx__g->value,                  \
                             PNX__CLASS(pnx__g->value));                                           \
    }))
#define PNX__CLASS(value)                                                                          \
    (__builtin_types_compatible_p(__typeof__(value), int) ? PNX__INT                               \
     : __builtin_classify_type(value) == 5                ? PNX__POINTER                           \
                                                          : PNX__OTHER)
#else
template <class T> struct pnx__class_of {
    static constexpr enum pnx__class value = PNX__OTHER;
};
template <class T> struct pnx__class_of<T *> {
    static constexpr enum pnx__class value = PNX__POINTER;
};
template <> struct pnx__class_of<int> {
    static constexpr enum pnx__class value = PNX__INT;
};
#define PNX__CLASS(lvalue) (pnx__class_of<decltype(lvalue)>::value)
template <class Guard> inline bool pnx_arm(Guard *guard, decltype(Guard::value) thing)
{
    guard->value = thing;
    return pnx__guard_arm_value(&guard->base, &guard->value, sizeof guard->value,
                                pnx__class_of<decltype(Guard::value)>::value);
}
#endif

/** The thing itself. */
#define pnx_get(guard) ((void)0, (guard)->value)

/**
 * Moves the thing out, disarmed: the caller holds it again. If it was released behind the guard's
 * back (by id, expiry, shutdown), answers an absent value: NULL, -1, or all zero.
 */
#define pnx_take(guard)                                                                            \
    (__extension__({                                                                               \
        __typeof__(guard) pnx__g = (guard);                                                        \
        if (!pnx__guard_take(&pnx__g->base))                                                       \
            pnx__value_clear(&pnx__g->value, sizeof pnx__g->value, PNX__CLASS(pnx__g->value));     \
        pnx__g->value;                                                                             \
    }))

/** Moves ownership to the guard that is answered; the source owns nothing any more. */
#define pnx_move(guard)                                                                            \
    (__extension__({                                                                               \
        __typeof__(guard) pnx__g = (guard);                                                        \
        __typeof__(*pnx__g) pnx__moved = *pnx__g;                                                  \
        pnx__g->base.slot = NULL;                                                                  \
        pnx__moved;                                                                                \
    }))

/** Gives it up before the end of the scope; the release runs in the background. */
#define pnx_drop(guard) pnx__guard_cleanup(guard)

/**
 * Releases it and waits for the outcome, for as long as the kind's timeouts and retries take; see
 * pnx_release_now. A guard that owns nothing answers PNX_OK, one whose resource was released behind
 * its back PNX_EALREADY.
 */
#define pnx_close(guard, err) pnx__guard_close(&(guard)->base, PNX_FOREVER, (err))
/** The same until `deadline` (a point on the registry's clock); then PNX_ETIMEOUT. */
#define pnx_close_by(guard, deadline, err) pnx__guard_close(&(guard)->base, (deadline), (err))

/** The id of what it holds; PNX_ID_NONE when nothing is armed. */
#define pnx_id_of(guard) pnx__guard_id(&(guard)->base)

#endif
