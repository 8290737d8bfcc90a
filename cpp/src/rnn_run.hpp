// One call of a recurrent layer.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "petrain/quant_rnn.hpp"
#include "quant_steps.hpp"

namespace petrain {

// Sequences in the order of their lengths, longest first: those that have a step t are then the first count(t), and the
// rows of all steps lie one after the other. Like torch's PackedSequence.
struct Packing {
  Packing(std::int64_t steps, std::int64_t batch, const std::int64_t* lengths);  // null: all of all steps

  std::int64_t rows() const { return first.back(); }
  std::int64_t count(std::int64_t t) const { return first[t + 1] - first[t]; }

  std::vector<std::int64_t> order, first;
};

// One call. The sequences are independent of each other, and so are the directions: they are shared out over the
// threads, each of which then goes through all steps by itself.
class RnnRun {
 public:
  struct Direction {
    const QuantRnn* layer;
    bool reverse;
  };

  RnnRun(std::span<const Direction> directions, const ConstTensorView& x, const RnnOptions& options);
  RnnResult run();

 private:
  // Sequences part, part + parts, … of the order, in one direction.
  struct Job {
    Job(const QuantRnn& layer, std::int64_t rows, bool all_threads)
        : h(DType::f32, {rows, layer.hidden_size()}),
          c(layer.cell() == Cell::lstm ? Tensor(DType::f32, {rows, layer.hidden_size()}) : Tensor()),
          gates(Tensor::uninitialized(DType::f32, {rows, layer.w_hh_->out_features()})),
          product(*layer.w_hh_, rows, all_threads) {}
    Tensor h, c, gates;  // c: of an LSTM
    QuantSteps product;
  };

  void require_input(const RnnOptions& options) const;
  void make_jobs(const RnnOptions& options);
  void project(std::size_t direction, std::int64_t begin, std::int64_t end);
  void step(std::size_t index, std::int64_t t, std::int64_t first_row);
  // copy(state row, index of the sequence in (D, B, H)) for all rows of all jobs.
  template <class Copy>
  void for_each_state(const Copy& copy);

  std::vector<Direction> directions_;
  ConstTensorView x_;
  std::int64_t steps_, batch_, input_, hidden_;
  Packing packing_;
  Tensor packed_x_;                // of sequences of several lengths
  std::vector<Tensor> projected_;  // (rows of some steps, G H) for each direction
  int threads_ = 1;
  std::int64_t parts_ = 1;  // of the sequences of a direction
  std::vector<Job> jobs_;   // those of the first direction, then those of the second
  RnnResult result_;
};

}  // namespace petrain
