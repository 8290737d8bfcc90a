// A block of a tensor on its way between storage and the type that a rule computes in. Not inlined: every rule shares
// these.
#pragma once

#include "codes.hpp"
#include "load.hpp"
#include "optim.hpp"

namespace petrain::kernels {
namespace {

// Where a block is converted, the processor's own prefetching falls asleep while it computes. This asks for a quarter
// of the block that begins at `begin`, which may be past the end.
inline void prefetch(const void* from, Storage storage, std::ptrdiff_t begin, int quarter) {
  const std::ptrdiff_t bytes = kBlock / 4 * static_cast<std::ptrdiff_t>(storage_size(storage));
  const char* at =
      static_cast<const char*>(from) + begin * static_cast<std::ptrdiff_t>(storage_size(storage)) + quarter * bytes;
  for (const char* end = at + bytes; at < end; at += 128) {
    __builtin_prefetch(at);
    __builtin_prefetch(at + 64);
  }
}

// to[i] = cut(from[i], random number of element begin + i).
template <class T, class Cut>
void store_dithered(std::uint16_t* __restrict to, std::ptrdiff_t begin, const T* __restrict from, std::ptrdiff_t size,
                    std::uint32_t key, Cut cut) {
  for (std::ptrdiff_t first = 0; first < size;) {
    const std::ptrdiff_t place = (begin + first) % kGroup;
    const std::ptrdiff_t count = size - first < kGroup - place ? size - first : kGroup - place;
    const std::uint32_t start = dither_start(key, (begin + first) / kGroup);
#pragma omp simd
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      to[first + i] = cut(static_cast<float>(from[first + i]), kSteps.of[place + i] + start);
    }
    first += count;
  }
}

// Sixteen bits are rounded to the nearest or, with random numbers of `key`, stochastically.
template <class T>
__attribute__((noinline)) void store(void* to, Storage storage, std::ptrdiff_t begin, const T* from,
                                     std::ptrdiff_t size, bool stochastic, std::uint32_t key) {
  if (storage == Storage::f32) {
    auto* x = static_cast<float*>(to) + begin;
    for (std::ptrdiff_t i = 0; i < size; ++i) x[i] = static_cast<float>(from[i]);
    return;
  }
  if (storage == Storage::f64) {
    auto* x = static_cast<double*>(to) + begin;
    for (std::ptrdiff_t i = 0; i < size; ++i) x[i] = static_cast<double>(from[i]);
    return;
  }
  auto* x = static_cast<std::uint16_t*>(to) + begin;
  const bool brain = storage == Storage::bf16;
  if (stochastic) {
    if (brain) store_dithered(x, begin, from, size, key, [](float y, std::uint32_t r) { return to_bfloat16(y, r); });
    if (!brain) store_dithered(x, begin, from, size, key, [](float y, std::uint32_t r) { return to_float16(y, r); });
  } else if (brain) {
#pragma omp simd
    for (std::ptrdiff_t i = 0; i < size; ++i) x[i] = to_bfloat16(static_cast<float>(from[i]));
  } else {
#pragma omp simd
    for (std::ptrdiff_t i = 0; i < size; ++i) x[i] = to_float16(static_cast<float>(from[i]));
  }
}

// body(first, count, group) for each group of 64 of a block; the last one may be a part.
template <class Body>
void for_each_group(std::ptrdiff_t begin, std::ptrdiff_t size, Body body) {
  for (std::ptrdiff_t first = 0; first < size; first += kGroup) {
    body(first, size - first < kGroup ? size - first : kGroup, (begin + first) / kGroup);
  }
}

template <class Kind, class T>
void load_codes(const StateArgs& state, std::ptrdiff_t begin, T* to, std::ptrdiff_t size) {
  const auto* codes = static_cast<const std::uint8_t*>(state.data) + begin;
  alignas(64) float x[kGroup];
  alignas(64) std::uint8_t part[kGroup] = {};
  for_each_group(begin, size, [&](std::ptrdiff_t first, std::ptrdiff_t count, std::ptrdiff_t group) {
    const float scale = state.scale[group];
    if (count == kGroup && sizeof(T) == sizeof(float)) {
      load_group(Kind{}, codes + first, scale, reinterpret_cast<float*>(to + first));
      return;
    }
    for (std::ptrdiff_t i = 0; i < count; ++i) part[i] = codes[first + i];
    load_group(Kind{}, part, scale, x);
    for (std::ptrdiff_t i = 0; i < count; ++i) to[first + i] = static_cast<T>(x[i]);
  });
}

// Of `from`, whole groups are read. All scales come before the first code, so that no code waits for its own.
template <class Kind>
void store_groups(const StateArgs& state, std::ptrdiff_t begin, const float* from, std::ptrdiff_t size,
                  std::uint32_t key) {
  auto* codes = static_cast<std::uint8_t*>(state.data) + begin;
  alignas(64) std::uint8_t part[kGroup] = {};
  for_each_group(begin, size, [&](std::ptrdiff_t first, std::ptrdiff_t, std::ptrdiff_t group) {
    state.scale[group] = scale_of(from + first);
  });
  for_each_group(begin, size, [&](std::ptrdiff_t first, std::ptrdiff_t count, std::ptrdiff_t group) {
    std::uint8_t* to = count == kGroup ? codes + first : part;
    store_group(Kind{}, to, state.scale[group], from + first, dither_start(key, group));
    if (to == part) __builtin_memcpy(codes + first, part, static_cast<std::size_t>(count));
  });
}

template <class Kind, class T>
void store_codes(const StateArgs& state, std::ptrdiff_t begin, const T* from, std::ptrdiff_t size, std::uint32_t key) {
  if constexpr (sizeof(T) == sizeof(float)) {
    if (size % kGroup == 0) return store_groups<Kind>(state, begin, from, size, key);
  }
  alignas(64) float padded[kBlock] = {};
  for (std::ptrdiff_t i = 0; i < size; ++i) padded[i] = static_cast<float>(from[i]);
  store_groups<Kind>(state, begin, padded, size, key);
}

template <class T>
__attribute__((noinline)) void load_state(const StateArgs& state, std::ptrdiff_t begin, T* to, std::ptrdiff_t size) {
  if (state.storage != Storage::code8) return load(state.data, state.storage, begin, to, size);
  if (state.kind == StateKind::average) return load_codes<Average>(state, begin, to, size);
  load_codes<Square>(state, begin, to, size);
}

template <class T>
__attribute__((noinline)) void store_state(const StateArgs& state, std::ptrdiff_t begin, const T* from,
                                           std::ptrdiff_t size, std::uint32_t key) {
  if (state.storage != Storage::code8) return store(state.data, state.storage, begin, from, size, true, key);
  if (state.kind == StateKind::average) return store_codes<Average>(state, begin, from, size, key);
  store_codes<Square>(state, begin, from, size, key);
}

template <class T>
__attribute__((noinline)) void load_param(const StepArgs& args, std::ptrdiff_t begin, T* to, std::ptrdiff_t size) {
  if (args.rounding == Rounding::master) return load(args.extra, Storage::f32, begin, to, size);
  load(args.param, args.param_storage, begin, to, size);
  if (args.rounding != Rounding::kahan) return;
  T cut[kBlock];
  load(args.extra, args.param_storage, begin, cut, size);
  for (std::ptrdiff_t i = 0; i < size; ++i) to[i] += cut[i];
}

template <class T>
__attribute__((noinline)) void store_param(const StepArgs& args, std::ptrdiff_t begin, const T* from,
                                           std::ptrdiff_t size) {
  store(args.param, args.param_storage, begin, from, size, args.rounding == Rounding::stochastic, args.key);
  if (args.rounding == Rounding::master) {
    store(args.extra, Storage::f32, begin, from, size, false, 0);
  } else if (args.rounding == Rounding::kahan) {
    T cut[kBlock];
    load(args.param, args.param_storage, begin, cut, size);
    for (std::ptrdiff_t i = 0; i < size; ++i) cut[i] = from[i] - cut[i];
    store(args.extra, args.param_storage, begin, cut, size, false, 0);
  }
}

}  // namespace
}  // namespace petrain::kernels
