// A state has chosen for the layers of the core; all others are as the relaxation left them. What it can still become
// is bounded by the steepest step up and the flattest step down of the layers outside of the core: these lie on
// either side of the slope where the relaxation broke off, and come nearer to it the later a layer is taken in.
#include "knapsack_core.hpp"

#include <algorithm>
#include <optional>

namespace petrain::knapsack {
namespace {

constexpr std::size_t kFewestStates = 256;

struct State {
  std::int64_t cost = 0, error = 0;  // of the whole selection
  std::size_t parent = 0, option = 0;
};

// What the layers outside of the core can do for a state.
struct Outlook {
  std::optional<Slope> up, down;
};

bool cheaper(const State& a, const State& b) {
  if (a.cost != b.cost) return a.cost < b.cost;
  if (a.error != b.error) return a.error < b.error;
  return a.parent != b.parent ? a.parent < b.parent : a.option < b.option;
}

class Core {
 public:
  Core(const Layers& layers, std::int64_t budget, const Relaxed& relaxed, const Selection& best,
       std::size_t most_states)
      : layers_(layers), budget_(budget), relaxed_(relaxed), most_states_(most_states), best_(best) {}

  Best run() {
    in_core_.assign(layers_.size(), false);
    find_next_steps();
    states_ = {{relaxed_.whole.cost, relaxed_.whole.error, 0, 0}};
    std::size_t layer = relaxed_.steps[relaxed_.taken].layer;
    for (bool up = true; !states_.empty(); up = !up) {
      expand(layer);
      const auto next = next_layer(up);
      if (!next) break;
      layer = *next;
    }
    return {best_, std::min(best_.error, dropped_.value_or(best_.error))};
  }

  std::size_t work() const { return work_; }

 private:
  // The steps from where each layer is, in the order in which they matter: up from the first that was not taken on,
  // down from the last that was.
  void find_next_steps() {
    const std::vector<Step>& steps = relaxed_.steps;
    std::vector<bool> seen(layers_.size(), false);
    for (std::size_t s = relaxed_.taken; s < steps.size(); ++s) {
      if (!seen[steps[s].layer]) ups_.push_back(steps[s]);
      seen[steps[s].layer] = true;
    }
    seen.assign(layers_.size(), false);
    for (std::size_t s = relaxed_.taken; s-- > 0;) {
      if (!seen[steps[s].layer]) downs_.push_back(steps[s]);
      seen[steps[s].layer] = true;
    }
  }

  const Step* first_outside(const std::vector<Step>& steps, std::size_t& from) const {
    while (from < steps.size() && in_core_[steps[from].layer]) ++from;
    return from < steps.size() ? &steps[from] : nullptr;
  }

  std::optional<std::size_t> next_layer(bool prefer_up) {
    const Step *up = first_outside(ups_, next_up_), *down = first_outside(downs_, next_down_);
    const Step* step = (prefer_up && up != nullptr) || down == nullptr ? up : down;
    return step != nullptr ? std::optional(step->layer) : std::nullopt;
  }

  Outlook outlook() {
    const Step *up = first_outside(ups_, next_up_), *down = first_outside(downs_, next_down_);
    return {up != nullptr ? std::optional<Slope>(*up) : std::nullopt,
            down != nullptr ? std::optional<Slope>(*down) : std::nullopt};
  }

  // Whether the state may become better than the best.
  bool promising(std::int64_t cost, std::int64_t error, const Outlook& outlook) const {
    const std::int64_t goal = best_.error - 1;
    if (cost <= budget_) {
      if (!outlook.up) return error <= goal;
      return Wide{error - goal} * outlook.up->price <= Wide{budget_ - cost} * outlook.up->gain;
    }
    return outlook.down && Wide{cost - budget_} * outlook.down->gain <= Wide{goal - error} * outlook.down->price;
  }

  // What no selection that the state becomes comes below; for states that are promising.
  std::int64_t bound(const State& state, const Outlook& outlook) const {
    Wide least = state.error;
    if (state.cost > budget_) {
      least += Wide{state.cost - budget_} * outlook.down->gain / outlook.down->price;
    } else if (outlook.up) {
      least -= Wide{budget_ - state.cost} * outlook.up->gain / outlook.up->price;
    }
    return static_cast<std::int64_t>(std::max(least, Wide{0}));
  }

  void expand(std::size_t layer) {
    const Outlook broken{relaxed_.steps[relaxed_.taken], relaxed_.steps[relaxed_.taken]};
    const Efficient& base = layers_[layer][relaxed_.whole.options[layer]];
    in_core_[layer] = true;
    const Outlook rest = outlook();
    core_.push_back(layer);
    std::vector<State> next;
    for (std::size_t j = 0; j < layers_[layer].size(); ++j) {
      const std::int64_t cost = layers_[layer][j].cost - base.cost, error = layers_[layer][j].error - base.error;
      // The option alone, with all that the relaxation could do at best.
      if (!promising(relaxed_.whole.cost + cost, relaxed_.whole.error + error, broken)) continue;
      work_ += states_.size();
      for (std::size_t s = 0; s < states_.size(); ++s) {
        const State state{states_[s].cost + cost, states_[s].error + error, s, j};
        if (state.cost <= budget_ && state.error < best_.error) remember(state);
        if (promising(state.cost, state.error, rest)) next.push_back(state);
      }
    }
    states_ = undominated(std::move(next), rest);
    limit(rest);
    trace_.push_back(states_);
  }

  void remember(const State& state) {
    best_.cost = state.cost;
    best_.error = state.error;
    best_.options = relaxed_.whole.options;
    best_.options[core_.back()] = state.option;
    std::size_t at = state.parent;
    for (std::size_t level = trace_.size(); level-- > 0;) {
      best_.options[core_[level]] = trace_[level][at].option;
      at = trace_[level][at].parent;
    }
  }

  std::vector<State> undominated(std::vector<State> states, const Outlook& outlook) const {
    std::sort(states.begin(), states.end(), cheaper);
    std::size_t kept = 0;
    for (const State& state : states) {
      if (kept > 0 && state.error >= states[kept - 1].error) continue;
      if (promising(state.cost, state.error, outlook)) states[kept++] = state;  // the best may be better by now
    }
    states.resize(kept);
    return states;
  }

  void limit(const Outlook& outlook) {
    if (states_.size() <= most_states_) return;
    std::vector<std::pair<std::int64_t, std::size_t>> bounds;
    for (std::size_t s = 0; s < states_.size(); ++s) bounds.emplace_back(bound(states_[s], outlook), s);
    const auto end = bounds.begin() + static_cast<std::ptrdiff_t>(most_states_);
    std::nth_element(bounds.begin(), end, bounds.end());
    dropped_ = std::min(dropped_.value_or(end->first), end->first);
    std::sort(bounds.begin(), end, [](const auto& a, const auto& b) { return a.second < b.second; });
    for (std::size_t s = 0; s < most_states_; ++s) states_[s] = states_[bounds[s].second];
    states_.resize(most_states_);
  }

  const Layers& layers_;
  std::int64_t budget_;
  const Relaxed& relaxed_;
  std::size_t most_states_, work_ = 0;
  Selection best_;
  std::optional<std::int64_t> dropped_;  // the least bound of the states that were dropped
  std::vector<bool> in_core_;
  std::vector<std::size_t> core_;  // its layers, in order
  std::vector<Step> ups_, downs_;
  std::size_t next_up_ = 0, next_down_ = 0;
  std::vector<State> states_;
  std::vector<std::vector<State>> trace_;  // the states after each layer of the core
};

}  // namespace

Best improve(const Layers& layers, std::int64_t budget, const Relaxed& relaxed, std::size_t most_work) {
  Best best{relaxed.greedy, 0};
  if (relaxed.taken == relaxed.steps.size()) return {best.selection, best.selection.error};  // all have their best
  std::size_t states = kFewestStates, used = 0;
  while (true) {
    Core core(layers, budget, relaxed, best.selection, states);
    const Best found = core.run();
    best = {found.selection, std::max(best.lower_bound, found.lower_bound)};
    used += core.work();
    if (best.lower_bound == best.selection.error || used >= most_work) return best;
    const std::size_t growth = std::min<std::size_t>((most_work - used) / (core.work() + 1), 8);
    if (growth < 2) return best;
    states *= growth;
  }
}

}  // namespace petrain::knapsack
