// The matrix rules' half of a step: one tensor after the other, once all gradients have been read and judged and the
// elementwise rules have written.
#include <cmath>

#include "chunks.hpp"
#include "optimizer_work.hpp"
#include "random.hpp"
#include "threads.hpp"

namespace petrain {

void Optimizer::take_matrix_norms(Work& work, const std::vector<Chunk>& chunks) const {
  for_each_param(chunks, [&](std::size_t first, std::size_t end) {
    Work::PerParam& own = work.params[chunks[first].param];
    if (!own.matrix) return;
    std::vector<double> parts(work.squares.begin() + static_cast<std::ptrdiff_t>(first),
                              work.squares.begin() + static_cast<std::ptrdiff_t>(end));
    own.norm = std::sqrt(tree_sum(parts));
  });
}

void Optimizer::step_matrices(Work& work) {
  for (std::size_t i = 0; i < params_.size(); ++i) {
    Work::PerParam& own = work.params[i];
    Param& param = params_[i];
    if (!own.matrix || param.view.size() == 0) continue;
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
  }
}

}  // namespace petrain
