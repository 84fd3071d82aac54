#include "statistics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace bench {
namespace {

double median_of(const std::vector<Sample>& samples, Field field) {
  std::vector<double> values;
  for (const Sample& sample : samples) values.push_back(sample.*field);
  return median(std::move(values));
}

}  // namespace

double percentile(std::vector<double> values, double fraction) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  std::sort(values.begin(), values.end());
  const double position = fraction * static_cast<double>(values.size() - 1);
  const auto lower = static_cast<std::size_t>(std::floor(position));
  const auto upper = static_cast<std::size_t>(std::ceil(position));
  return values[lower] + (values[upper] - values[lower]) * (position - static_cast<double>(lower));
}

double Pairs::ratio(Field field) const {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < std::min(ours.size(), theirs.size()); ++i)
    ratios.push_back(ours[i].*field / theirs[i].*field);
  return median(std::move(ratios));
}

double Pairs::our_median(Field field) const { return median_of(ours, field); }

double Pairs::their_median(Field field) const { return median_of(theirs, field); }

Pairs interleave(int pairs, const std::function<Sample(int)>& ours,
                 const std::function<Sample(int)>& theirs) {
  Pairs result;
  for (int pair = 0; pair < pairs; ++pair) {
    // In blocks of two, so that the order does not go together with anything else that alternates.
    if (pair / 2 % 2 == 0) {
      result.ours.push_back(ours(pair));
      result.theirs.push_back(theirs(pair));
    } else {
      result.theirs.push_back(theirs(pair));
      result.ours.push_back(ours(pair));
    }
  }
  return result;
}

}  // namespace bench
