// A style sheet or a picture, where only the program is tried.
module.exports = '<svg></svg>';
