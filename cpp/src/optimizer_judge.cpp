// What is decided when the norms are known: whether there is a step, how far it is clipped, a layer's share of it.
#include <algorithm>
#include <cmath>
#include <limits>

#include "chunks.hpp"
#include "greatest_norms.hpp"
#include "optimizer_work.hpp"
#include "rule_list.hpp"

namespace petrain {

// Where the gradients are so large that the factor itself is a denormal, it must not be taken for zero.
bool Optimizer::Work::flushes() const { return std::abs(scale * clip) >= std::numeric_limits<float>::min(); }

void Optimizer::judge(Work& work, const std::vector<Chunk>& chunks, const StepOptions& options) const {
  if (work.matrices) take_matrix_norms(work, chunks);
  GreatestNorms greatest;
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    const Work::PerParam& own = work.params[chunks[i].param];
    if (!own.present || own.precision == 1 || own.matrix) continue;
    greatest.take(std::sqrt(work.squares[i]), own.args.grad_storage == kernels::Storage::f64);
  }
  const double norm_as_given = std::sqrt(tree_sum(work.squares));
  work.info.grad_norm = norm_as_given * work.scale;
  if (work.info.grad_norm > options.max_norm) {
    work.clip = std::min(options.max_norm / (work.info.grad_norm + 1e-6), 1.0);
  }
  const double factor = work.scale * work.clip;
  work.info.skipped = !std::isfinite(work.info.grad_norm) || !greatest.fit(factor);
  for (const Work::PerParam& own : work.params) {
    if (own.matrix && own.norm * factor > kMostNorm) work.info.skipped = true;
  }
  // An element's part of the gradient of a scale is at most 128 times its own, as given and as a mean, and must not be
  // infinite: the gradient of the scale would be, in every step to come.
  const double most_norm = norm_as_given * std::max(1.0, work.sums_scale);
  if (!work.fake_quants.empty() && most_norm > std::numeric_limits<float>::max() / 128) work.info.skipped = true;
  if (!options.check_finite) work.info.grad_norm = std::numeric_limits<double>::quiet_NaN();  // of matrices alone
}

void Optimizer::set_trust(Work& work, const std::vector<Chunk>& chunks) const {
  for_each_param(chunks, [&](std::size_t first, std::size_t end) {
    const std::size_t param = chunks[first].param;
    Work::PerParam& own = work.params[param];
    const auto trust = rule_list()[own.rule].trust;
    if (!own.present || trust == nullptr) return;
    std::vector<double> of_param, of_direction;
    for (std::size_t i = first; i < end; ++i) {
      of_param.push_back(work.sums[i].param);
      of_direction.push_back(work.sums[i].direction);
    }
    own.args.trust = trust(groups_[params_[param].group].hypers.data(), std::sqrt(tree_sum(of_param)),
                           std::sqrt(tree_sum(of_direction)));
  });
}

}  // namespace petrain
