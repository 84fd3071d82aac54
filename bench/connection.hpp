// A blocking libpq connection and its results. Errors become std::runtime_error: a benchmark that
// met an error has no figures to show.
#pragma once

#include <libpq-fe.h>

#include <cstdint>
#include <memory>
#include <string>

namespace bench {

inline const char* as_text(const std::string& value) { return value.c_str(); }
inline const char* as_text(const char* value) { return value; }
inline const char* as_text(std::nullptr_t) { return nullptr; }

class Result {
 public:
  Result() = default;
  // Takes the result over and throws unless it is a success.
  explicit Result(PGresult* result);

  int rows() const { return PQntuples(result_.get()); }
  std::string text(int row, int column) const { return PQgetvalue(result_.get(), row, column); }
  const char* raw(int row, int column) const { return PQgetvalue(result_.get(), row, column); }
  bool is_null(int row, int column) const { return PQgetisnull(result_.get(), row, column) == 1; }
  std::int64_t integer(int row, int column) const { return std::stoll(text(row, column)); }

  // One column of all rows as the text of an array, to be passed back as a parameter.
  std::string column_as_array(int column) const;

 private:
  struct Clear {
    void operator()(PGresult* result) const { PQclear(result); }
  };
  std::unique_ptr<PGresult, Clear> result_;
};

class Connection {
 public:
  // Connects with the PG* variables of the environment.
  Connection();

  PGconn* get() const { return connection_.get(); }
  int backend_pid() const { return PQbackendPID(connection_.get()); }

  template <class... Args>
  Result query(const std::string& sql, const Args&... args) {
    const char* values[sizeof...(Args) + 1] = {as_text(args)..., nullptr};
    return Result(PQexecParams(get(), sql.c_str(), static_cast<int>(sizeof...(Args)), nullptr,
                               values, nullptr, nullptr, 0));
  }
  // Any number of statements in one string.
  void script(const std::string& sql);
  void prepare(const char* name, const std::string& sql);
  template <class... Args>
  Result execute(const char* name, const Args&... args) {
    const char* values[sizeof...(Args) + 1] = {as_text(args)..., nullptr};
    return Result(PQexecPrepared(get(), name, static_cast<int>(sizeof...(Args)), values, nullptr,
                                 nullptr, 0));
  }
  // Sends both statements at once, with one Sync after them; the result is that of the second.
  template <class... Args>
  Result pipeline(const char* first, const char* second, const Args&... args) {
    const char* values[sizeof...(Args) + 1] = {as_text(args)..., nullptr};
    return run_pipeline(first, second, static_cast<int>(sizeof...(Args)), values);
  }
  std::int64_t integer(const std::string& sql) { return query(sql).integer(0, 0); }

 private:
  Result run_pipeline(const char* first, const char* second, int count, const char* const* values);

  struct Finish {
    void operator()(PGconn* connection) const { PQfinish(connection); }
  };
  std::unique_ptr<PGconn, Finish> connection_;
};

}  // namespace bench
