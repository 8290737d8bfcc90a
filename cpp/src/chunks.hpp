// Cuts a list of arrays into chunks of at most kChunk elements, in order: the unit in which work is shared out
// and in which reductions are summed, whatever the number of threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace petrain {

constexpr std::int64_t kChunk = 16384;

// Elements of an elementwise loop that are worth a thread: some 20 µs of work.
constexpr std::int64_t kElementsPerThread = 32768;

// emit(array, begin, size) for each chunk.
template <class Emit>
void for_each_chunk(std::size_t array, std::int64_t size, Emit&& emit) {
  for (std::int64_t begin = 0; begin < size; begin += kChunk) emit(array, begin, std::min(kChunk, size - begin));
}

// body(first, end) for each run of chunks of one parameter.
template <class Chunk, class Body>
void for_each_param(const std::vector<Chunk>& chunks, Body&& body) {
  for (std::size_t first = 0, end = 0; first < chunks.size(); first = end) {
    while (end < chunks.size() && chunks[end].param == chunks[first].param) ++end;
    body(first, end);
  }
}

// Pairwise: neighbours, then neighbours of these, and so on.
inline double tree_sum(std::vector<double>& parts) {
  if (parts.empty()) return 0;
  for (std::size_t step = 1; step < parts.size(); step *= 2) {
    for (std::size_t i = 0; i + step < parts.size(); i += 2 * step) parts[i] += parts[i + step];
  }
  return parts[0];
}

}  // namespace petrain
