// What a run found: figures with their limits on standard output, everything as JSON lines in a
// file from which bench/report.py makes the table and the plots.
#pragma once

#include "format.hpp"

#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bench {

class Results {
 public:
  explicit Results(const std::string& path);
  ~Results();
  Results(const Results&) = delete;
  Results& operator=(const Results&) = delete;

  // Prefixed to every figure until the next call: the name of the row.
  void row(std::string name) { row_ = std::move(name); }

  // A figure with a limit that it must not exceed.
  void at_most(std::string_view what, double value, double limit, std::string_view unit,
               std::string_view beside = {});
  // A figure with a limit that it must reach.
  void at_least(std::string_view what, double value, double limit, std::string_view unit,
                std::string_view beside = {});
  // A statement that is true or not.
  void holds(std::string_view what, bool true_now, std::string_view beside = {});
  // A figure shown beside the others.
  void shown(std::string_view what, double value, std::string_view unit,
             std::string_view beside = {});

  // A point of a plot: texts and numbers by name.
  using Text = std::pair<const char*, std::string>;
  using Number = std::pair<const char*, double>;
  void point(std::string_view plot, const std::vector<Text>& texts,
             const std::vector<Number>& numbers);

  // Progress for the person who waits.
  template <class... Args>
  void note(fmt::format_string<Args...> format, Args&&... args) {
    fmt::print(stderr, "  {}: {}\n", row_, fmt::format(format, std::forward<Args>(args)...));
  }

  bool all_met() const { return all_met_; }

 private:
  void figure(std::string_view what, std::string_view value, std::string_view limit,
              std::string_view verdict, std::string_view beside);
  void write(const std::string& line);

  std::FILE* file_;
  std::string row_;
  bool all_met_ = true;
};

}  // namespace bench
