//! Rule language, compilation, evaluation and alert life, pure.
