// The matrix rules' half of a step: one tensor after the other, once all gradients have been read and judged and the
// elementwise rules have written.
#include <cmath>
#include <cstring>

#include "chunks.hpp"
#include "optimizer_work.hpp"
#include "random.hpp"
#include "storage.hpp"
#include "threads.hpp"

namespace petrain {

void Optimizer::take_matrix_norms(Work& work, const std::vector<Chunk>& chunks) const {
  for (std::size_t i = 0, first = 0; first < chunks.size(); first = i) {
    Work::PerParam& own = work.params[chunks[first].param];
    for (i = first; i < chunks.size() && chunks[i].param == chunks[first].param;) ++i;
    if (!own.matrix) continue;
    std::vector<double> parts(work.squares.begin() + static_cast<std::ptrdiff_t>(first),
                              work.squares.begin() + static_cast<std::ptrdiff_t>(i));
    own.norm = std::sqrt(tree_sum(parts));
  }
}

void Optimizer::step_matrices(Work& work, bool zero_grads) {
  for (std::size_t i = 0; i < params_.size(); ++i) {
    Work::PerParam& own = work.params[i];
    Param& param = params_[i];
    const std::int64_t size = param.view.size();
    if (!own.matrix || size == 0) continue;
    const Group& group = groups_[param.group];
    MatrixStep step{own.args,
                    param.view.shape,
                    group.hypers.data(),
                    static_cast<double>(param.steps + 1),
                    0,
                    work.flushes(),
                    random_bits(seed_, i, static_cast<std::uint64_t>(param.steps)),
                    param.states,
                    param.scales,
                    own.memory.data()};
    step.args.grad_scale *= work.clip;
    step.norm = own.norm * std::abs(step.args.grad_scale);
    rule_list()[group.rule].matrix->step(step);
    if (!zero_grads) continue;
    auto* grad = static_cast<std::byte*>(const_cast<void*>(own.args.grad));
    std::memset(grad, 0, static_cast<std::size_t>(size * storage_size(own.args.grad_storage)));
  }
}

}  // namespace petrain
