// One step: the norm of the gradients, what it says, and the update, in one parallel region.
#include <cstring>

#include "chunks.hpp"
#include "denormals.hpp"
#include "isa.hpp"
#include "optimizer_work.hpp"
#include "petrain/optim.hpp"
#include "rule_list.hpp"
#include "storage.hpp"
#include "threads.hpp"

namespace petrain {

namespace {

// Gradients that are zeroed are the caller's to write to, which StepOptions says.
void zero(const ConstTensorView& grad, std::int64_t begin, std::int64_t size) {
  if (size == 0) return;
  const std::size_t element = dtype_size(grad.dtype);
  std::memset(static_cast<std::byte*>(const_cast<void*>(grad.data)) + static_cast<std::size_t>(begin) * element, 0,
              static_cast<std::size_t>(size) * element);
}

}  // namespace

StepInfo Optimizer::step(std::span<const ConstTensorView> grads, const StepOptions& options) {
  return step_scaled(grads, 1, options);
}

StepInfo Optimizer::step(GradAccumulator& accumulated, const StepOptions& options) {
  if (accumulated.count() == 0) throw std::invalid_argument("the accumulator is empty: add gradients first");
  if (!options.rows.empty()) throw std::invalid_argument("expected no rows with an accumulator");
  StepOptions own = options;
  own.zero_grads = false;  // what is added next overwrites the sums
  const StepInfo info = step_scaled(accumulated.views_, 1 / accumulated.weight(), own, accumulated.dtype());
  accumulated.reset();
  return info;
}

// sums_dtype: the gradients are those of an accumulator.
StepInfo Optimizer::step_scaled(std::span<const ConstTensorView> grads, double scale, const StepOptions& options,
                                std::optional<DType> sums_dtype) {
  Work work = prepare(grads, scale / options.grad_scale, options);
  work.sums_scale = scale;
  if (sums_dtype) {
    for (Work::PerParam& own : work.params) own.args.grad_storage = sum_storage_of(*sums_dtype);
  }
  const auto& kernels = active_kernels();
  const std::vector<Chunk>& chunks = options.rows.empty() ? chunks_ : work.by_rows;
  work.squares.resize(chunks.size());
  if (work.layerwise) work.sums.resize(chunks.size());

  const auto zeroes = [&](std::size_t i) { return options.zero_grads && !work.params[i].keeps_grad; };
  // Not with its chunks, but when all is done.
  const auto zeroed_last = [&](std::size_t i) {
    return work.zeroes_last || work.params[i].matrix || is_by_rows(options, i);
  };
  const auto args_of = [&](const Chunk& chunk) {
    kernels::StepArgs args = work.params[chunk.param].args;
    args.begin = chunk.begin;
    args.size = chunk.size;
    args.grad_begin = chunk.grad_begin;
    args.grad_scale *= work.clip;
    if (args.fake_quant != nullptr)
      args.slots = params_[chunk.param].fake_quant->sums.clear_slots(chunk.begin / kChunk);
    return args;
  };
  in_step(threads_for(elements_ / kElementsPerThread), [&](const SteppingTeam& team) {
    const ChunkRange mine = team.share(static_cast<std::int64_t>(chunks.size()));
    for (std::int64_t i = mine.begin; i < mine.end; ++i) {
      const Work::PerParam& own = work.params[chunks[i].param];
      if (!own.present || !(options.check_finite || own.matrix)) continue;
      work.squares[i] =
          kernels.reduce->sum_of_squares(own.args.grad, own.args.grad_storage, chunks[i].grad_begin, chunks[i].size);
    }
    work.keep_scales(team);
    team.barrier();
    if (team.rank == 0) judge(work, chunks, options);
    team.barrier();
    const FlushDenormals flush(work.flushes());
    if (work.layerwise && !work.info.skipped) {
      for (std::int64_t i = mine.begin; i < mine.end; ++i) {
        const Work::PerParam& own = work.params[chunks[i].param];
        const auto direct = own.matrix ? nullptr : kernels.optim->direct[own.rule][own.precision];
        if (own.present && direct != nullptr) work.sums[i] = direct(args_of(chunks[i]));
      }
      team.barrier();
      if (team.rank == 0) set_trust(work, chunks);
      team.barrier();
    }
    const auto update = [&](const Chunk& chunk) {
      const Work::PerParam& own = work.params[chunk.param];
      if (!own.present || own.matrix) return;
      if (!work.info.skipped) kernels.optim->step[own.rule][own.precision](args_of(chunk));
      if (zeroes(chunk.param) && !zeroed_last(chunk.param)) zero(grads[chunk.param], chunk.begin, chunk.size);
    };
    const bool fake_quants = !work.fake_quants.empty() && !work.info.skipped;
    if (fake_quants) {
      for (std::int64_t i = mine.begin; i < mine.end; ++i) {
        if (work.params[chunks[i].param].early) update(chunks[i]);
      }
      team.barrier();
      work.bound_scales(team);
      team.barrier();
    }
    for (std::int64_t i = mine.end; i-- > mine.begin;) {  // from the last one, whose gradients are still in the cache
      if (!(fake_quants && work.params[chunks[i].param].early)) update(chunks[i]);
    }
    if (fake_quants) {
      team.barrier();
      work.finish_scale_gradients(team);
    }
  });
  if (work.matrices && !work.info.skipped) step_matrices(work);
  for (std::size_t i = 0; options.zero_grads && i < grads.size(); ++i) {
    if (grads[i].data != nullptr && zeroes(i) && zeroed_last(i)) zero(grads[i], 0, grads[i].size());
  }
  if (work.info.skipped) return work.info;
  for (std::size_t i = 0; i < params_.size(); ++i) {
    if (!work.params[i].present) continue;
    ++params_[i].steps;
    params_[i].memory = work.params[i].memory;
  }
  return work.info;
}

}  // namespace petrain
