// Recurrent layers and embedding rows through the C++ interface. The Python tests compare them with a reference.
#include <cmath>
#include <cstring>
#include <vector>

#include "check.hpp"
#include "petrain/cpu.hpp"
#include "petrain/quant_embedding.hpp"
#include "petrain/quant_rnn.hpp"

using namespace petrain;

namespace {

Tensor numbers(Shape shape, std::uint32_t seed) {
  Tensor tensor(DType::f32, std::move(shape));
  for (std::int64_t i = 0; i < tensor.size(); ++i) {
    seed = seed * 1664525 + 1013904223;
    tensor.as<float>()[i] = static_cast<float>(seed >> 8) * 0x1p-23F - 1;
  }
  return tensor;
}

QuantRnn layer_of(Cell cell, std::int64_t inputs, std::int64_t hidden, std::uint32_t seed) {
  const std::int64_t rows = (cell == Cell::lstm ? 4 : 3) * hidden;
  const Tensor w_ih = numbers({rows, inputs}, seed), w_hh = numbers({rows, hidden}, seed + 1);
  const Tensor b_ih = numbers({rows}, seed + 2), b_hh = numbers({rows}, seed + 3);
  return {cell, quantize(w_ih.view()), quantize(w_hh.view()), b_ih.view(), b_hh.view()};
}

bool same_bytes(const float* a, const float* b, std::int64_t size) {
  return std::memcmp(a, b, static_cast<std::size_t>(size) * sizeof(float)) == 0;
}

}  // namespace

TEST(the_last_step_of_y_is_the_state) {
  for (const Cell cell : {Cell::lstm, Cell::gru}) {
    const QuantRnn layer = layer_of(cell, 5, 7, 1);
    const Tensor x = numbers({6, 3, 5}, 9);
    const RnnResult there = layer.forward(x.view()), back = layer.forward(x.view(), {.reverse = true});
    CHECK(same_bytes(there.y.as<float>() + std::ptrdiff_t{5} * 21, there.h.as<float>(), 21));
    CHECK(same_bytes(back.y.as<float>(), back.h.as<float>(), 21));
    CHECK(there.c.empty() == (cell == Cell::gru));
  }
}

TEST(both_directions_are_two_layers_side_by_side) {
  for (const int threads : {1, 2, 3}) {
    set_num_threads(threads);
    for (const Cell cell : {Cell::lstm, Cell::gru}) {
      const QuantRnn first = layer_of(cell, 20, 64, 1), second = layer_of(cell, 20, 64, 5);
      const std::int64_t steps = 9, batch = 33, hidden = 64;
      const Tensor x = numbers({steps, batch, 20}, 9);
      const RnnResult both = bidirectional(first, second, x.view());
      const RnnResult there = first.forward(x.view()), back = second.forward(x.view(), {.reverse = true});
      for (std::int64_t i = 0; i < steps * batch; ++i) {
        CHECK(same_bytes(both.y.as<float>() + i * 2 * hidden, there.y.as<float>() + i * hidden, hidden));
        CHECK(same_bytes(both.y.as<float>() + (i * 2 + 1) * hidden, back.y.as<float>() + i * hidden, hidden));
      }
      CHECK(same_bytes(both.h.as<float>() + batch * hidden, back.h.as<float>(), batch * hidden));
    }
  }
}

TEST(what_does_not_fit_is_refused) {
  const QuantRnn gru = layer_of(Cell::gru, 5, 7, 1), lstm = layer_of(Cell::lstm, 5, 7, 1);
  const Tensor x = numbers({6, 3, 5}, 9), state = numbers({3, 7}, 2);
  CHECK_THROWS(std::invalid_argument, "c0: expected none", (gru.forward(x.view(), {.c0 = state.view()})));
  CHECK_THROWS(std::invalid_argument, "two layers of one kind", (bidirectional(gru, lstm, x.view())));
  CHECK_THROWS(std::invalid_argument, "reverse: expected false",
               (bidirectional(gru, gru, x.view(), {.reverse = true})));
  CHECK_THROWS(std::invalid_argument, "h0: expected shape (2, 3, 7), got (3, 7)",
               (bidirectional(gru, gru, x.view(), {.h0 = state.view()})));
}

TEST(rows_of_a_table_are_those_of_the_whole) {
  const Tensor w = numbers({9, 33}, 3);
  const QuantTensor table = quantize(w.view(), {.bits = 4});
  const Tensor whole = dequantize(table);
  const std::int64_t ids[] = {8, 0, 8};
  Tensor rows(DType::f32, {3, 33});
  embedding(table, {ids, DType::i64, {3}}, rows.view());
  for (int i = 0; i < 3; ++i) CHECK(same_bytes(rows.as<float>() + i * 33, whole.as<float>() + ids[i] * 33, 33));
  const std::int64_t beyond[] = {0, 9, 0};
  CHECK_THROWS(std::out_of_range, "expected 0 to 8, got 9 at index (1,)",
               (embedding(table, {beyond, DType::i64, {3}}, rows.view())));
  CHECK_THROWS(std::invalid_argument, "int32 or int64, got float32",
               (embedding(table, {ids, DType::f32, {3}}, rows.view())));
}

TEST(rows_are_read_without_the_rest_of_the_table) {
  const Tensor w = numbers({9, 32}, 3);
  for (const QuantSpec& spec : {QuantSpec{}, QuantSpec{.granularity = Granularity::group, .group_size = 32}}) {
    QuantTensor table = quantize(w.view(), spec);
    table.scale.as<float>()[7] = NAN;  // what reads it throws
    const std::int64_t ids[] = {8, 0, 8};
    Tensor rows(DType::f32, {3, 32});
    embedding(table, {ids, DType::i64, {3}}, rows.view());
    CHECK_THROWS(std::invalid_argument, "got nan at element 7", dequantize(table));
  }
}
