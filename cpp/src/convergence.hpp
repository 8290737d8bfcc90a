// When a subspace that grows holds what is sought: from how the sum of the k largest squared singular values in it has
// grown, what is yet to come is extrapolated.
#pragma once

#include <cstdint>

namespace petrain {

class Convergence {
 public:
  // `square` is all that there is; `tolerance` what may be missed, of what the k best leave; `noise` what products
  // cannot tell, of all. Looks are `spacing` directions apart, or several times that.
  Convergence(double square, double tolerance, double noise, std::int64_t spacing)
      : square_(square), tolerance_(tolerance), noise_(noise), spacing_(spacing) {}

  void look(double captured, std::int64_t size);
  bool done() const;
  std::int64_t until_next() const;  // directions to be added before the next look

 private:
  double limit() const;
  double slower_ratio() const;
  double to_come() const;

  double square_, tolerance_, noise_;
  std::int64_t spacing_, size_ = 0;
  int looks_ = 0;
  double captured_ = 0;
  double gain_ = 0;                       // by the last `spacing_` directions
  double ratio_ = 1, earlier_ratio_ = 0;  // of that gain to the one before
};

}  // namespace petrain
