// Medians and percentiles; interleaved pairs.
#pragma once

#include <functional>
#include <vector>

namespace bench {

double percentile(std::vector<double> values, double fraction);
inline double median(std::vector<double> values) { return percentile(std::move(values), 0.5); }

// What one measured piece of work cost per job.
struct Sample {
  double cpu_us = 0;
  double whole_cpu_us = 0;
  double wal_bytes = 0;
  double per_second = 0;
};

using Field = double Sample::*;

// Two sides measured in turn, each pair shortly after one another, so that what the machine does
// meanwhile falls on both. Ratios are taken within a pair and the median of the ratios counts.
struct Pairs {
  std::vector<Sample> ours;
  std::vector<Sample> theirs;

  double ratio(Field field) const;
  double our_median(Field field) const;
  double their_median(Field field) const;
};

// The order within a pair alternates. `measure` gets the number of the pair.
Pairs interleave(int pairs, const std::function<Sample(int)>& ours,
                 const std::function<Sample(int)>& theirs);

}  // namespace bench
